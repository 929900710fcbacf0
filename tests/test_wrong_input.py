"""Wrong input is answered as docs/wrong-input.md says, and nothing is half-written."""

import re
from pathlib import Path

import pytest
from command_line import answer, listing
from wrong_inputs import (
    ROWS,
    Wrong,
    arrange,
)

PAGE = Path(__file__).parents[1] / "docs/wrong-input.md"


def documented() -> dict[str, str]:
    """Rows of the page by their titles."""
    rows = re.findall(r"^\| ([^|]+) \|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {title: rest.strip() for title, rest in rows if title not in ("Input", "---")}


def row_of(row: Wrong, lines: list[str], code: int) -> str:
    said = "<br>".join(f"`` {line} ``" if "`" in line else f"`{line}`" for line in lines)
    command = "passion " + " ".join(str(word) for word in row.words[:1])
    return f"`{command}` | {said} | {code}".replace("x" * 300, "xx...")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_wrong_input_is_answered_as_the_page_says(
    row: Wrong, tiny: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    study = request.getfixturevalue("study" if row.needs == "study" else "trained") if row.needs != "raw" else tiny
    monkeypatch.chdir(tmp_path)
    arrange(row, tiny, study.parent if row.needs == "run" else study)
    capsys.readouterr()
    before = listing()
    lines, code = answer([str(word) for word in row.words], capsys)
    assert code == row.code
    assert listing() == before
    assert row_of(row, lines, code) == documented()[row.title]  # to be put into the page, if it is right


def test_the_page_has_these_rows_and_no_others() -> None:
    assert set(documented()) == {row.title for row in ROWS}
