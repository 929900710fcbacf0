"use strict";
// Makes the columns of `table.sortable` sortable. A first click puts the largest number, or the first word, at the top, a
// second one the other end, and a third brings back the order that was written.
(() => {
  const text = (row, column) => row.cells[column].textContent.trim();
  // What is smaller than a number comes before it.
  const number = (word) => Number.parseFloat(word.replace(/^[<+]/, "")) * (word.startsWith("<") ? 0.999 : 1);

  // Numbers before words, whichever way.
  function order(rows, column, sign) {
    return [...rows].sort((one, other) => {
      const words = [text(one, column), text(other, column)];
      const [a, b] = words.map(number);
      if (Number.isNaN(a) && Number.isNaN(b)) return sign * words[0].localeCompare(words[1]);
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
      const column = Number(head.dataset.column);
      const numeric = asWritten.some((row) => !Number.isNaN(number(text(row, column))));
      const ways = numeric ? ["none", "descending", "ascending"] : ["none", "ascending", "descending"];
      button.addEventListener("click", () => {
        const way = ways[(ways.indexOf(head.ariaSort ?? "none") + 1) % ways.length];
        for (const other of table.querySelectorAll("th[data-column]")) other.ariaSort = "none";
        head.ariaSort = way;
        const signs = { descending: -1, ascending: 1 };
        body.append(...(way === "none" ? asWritten : order(asWritten, column, signs[way])), ...totals);
      });
    }
  }
})();
