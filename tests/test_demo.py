"""The demonstration: all of its steps, and that a second call changes nothing."""

from pathlib import Path

import pytest
from command_line import passion


def test_the_demo_leads_from_files_to_a_page(demonstration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in demonstration.rglob("*.ckpt")}
    passion("demo", "--out", demonstration)
    said = capsys.readouterr().out
    assert "means nothing" in said
    assert str(demonstration / "report.html") in said.replace("\n", "")
    page = (demonstration / "report.html").read_text()
    assert "baseline" in page
    assert "means nothing" in page
    assert {path: path.stat().st_mtime_ns for path in demonstration.rglob("*.ckpt")} == before
    assert len(before) == 4
