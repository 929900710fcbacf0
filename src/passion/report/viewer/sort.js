"use strict";
// Makes the columns of `table.sortable` sortable: once from the top, twice from the bottom, thrice as it was.
(() => {
  const text = (row, column) => row.cells[column].textContent.trim();
  const number = (word) => Number.parseFloat(word.replace(/^[<+]/, ""));

  function order(rows, column, sign) {
    return [...rows].sort((one, other) => {
      const words = [text(one, column), text(other, column)];
      const [a, b] = words.map(number);
      if (Number.isNaN(a) && Number.isNaN(b)) return -sign * words[0].localeCompare(words[1]);
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
      return sign * (a - b);
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const [body] = table.tBodies;
    const asWritten = [...body.rows].filter((row) => !row.classList.contains("total"));
    const totals = [...body.rows].filter((row) => row.classList.contains("total"));
    for (const head of table.querySelectorAll("th[data-column]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { none: "descending", descending: "ascending", ascending: "none" }[head.ariaSort ?? "none"];
        for (const other of table.querySelectorAll("th[data-column]")) other.ariaSort = "none";
        head.ariaSort = next;
        const signs = { descending: -1, ascending: 1 };
        const rows = next === "none" ? asWritten : order(asWritten, Number(head.dataset.column), signs[next]);
        body.append(...rows, ...totals);
        table.classList.toggle("sorted", next !== "none");
      });
    }
  }
})();
