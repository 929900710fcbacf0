"""The demonstration, made as small as it gets: all of its steps, and that a second call changes nothing."""

from pathlib import Path

import pytest
from command_line import passion

from passion import demo

TINY = demo.Scale(
    cases=8, size=32, patch_size=32, epochs=1,
    network={"name": "mmformer", "width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2},
)  # fmt: skip


def test_the_demo_leads_from_files_to_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(demo.SCALES, "small", TINY)
    out = tmp_path / "demo"
    passion("demo", "--out", out)
    said = capsys.readouterr().out
    assert "means nothing" in said
    assert str(out / "report.html") in said.replace("\n", "")
    page = (out / "report.html").read_text()
    assert "baseline" in page
    assert "means nothing" in page
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.ckpt")}
    passion("demo", "--out", out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.ckpt")} == before
