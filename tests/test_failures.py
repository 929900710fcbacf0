"""Links, full disks, places that are read-only, and mistakes of ours."""

import errno
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from command_line import answer, passion, training_words

from passion import cli
from passion.data.store import PreparedStudy
from passion.failures import explain


def test_what_a_link_leads_to_is_replaced(here: Path) -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/old.csv").write_text("old")
    Path("split.csv").symlink_to("elsewhere/old.csv")
    Path("prepared").symlink_to("elsewhere/prepared")
    passion("split", "raw", "-o", "split.csv")
    assert Path("split.csv").is_symlink()
    assert Path("elsewhere/old.csv").read_text().startswith("case,part")
    for _ in range(2):
        passion("prepare", "raw", "prepared", "--workers", 0)
        assert Path("prepared").is_symlink()
        assert len(PreparedStudy.open(Path("elsewhere/prepared")).cases) == 3
    assert [path for path in here.rglob(".*") if "partial" in path.name] == []


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory; tests that need one are left out where none can be mounted."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    trained: Path, study: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    case = "BraTS20_Training_001"
    commands = {
        "prepared": ("prepare", raw, "full/prepared", "--workers", 0),
        "run": training_words(study, Path("full/run"), "--training.epochs", 1, "--training.validate_every", 0),
        "seg.nii": (
            "predict",
            trained,
            "--t1",
            raw / case / f"{case}_t1.nii.gz",
            "-o",
            "full/seg.nii",
            "--device",
            "cpu",
        ),
        "report.html": ("report", trained, "-o", "full/report.html"),
    }
    with mounted(Path("full"), "size=96k"):
        for name, words in commands.items():
            lines, code = answer([str(word) for word in words], capsys)
            assert (code, len(lines)) == (2, 1), (name, lines)
            assert re.match(r"passion: error: \S*full/\S+: no space left on device; make room", lines[0])
            assert not list(Path("full").rglob(".partial-*"))
            assert name == "run" or not Path("full", name).exists()
            shutil.rmtree("full/run", ignore_errors=True)
            shutil.rmtree("full/.prepared.partial", ignore_errors=True)


def test_a_place_that_is_read_only_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted(Path("fixed"), "size=1m,ro"):
        for words in (
            ("prepare", "raw", "fixed/prepared", "--workers", "0"),
            ("split", "raw", "-o", "fixed/split.csv"),
        ):
            lines, code = answer(list(words), capsys)
            assert (code, len(lines)) == (2, 1)
            assert re.match(r"passion: error: fixed/\S+: read-only file system; choose another place", lines[0])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: no space left on device; make room"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: permission denied; change its permissions"),
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "there is not enough memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "was killed, as if memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory"), "there is not enough memory"),
        (BrokenProcessPool("A process in the process pool was terminated abruptly"), "was killed"),
        (ValueError("odd"), None),
        (RuntimeError("odd"), None),
    ],
    ids=repr,
)
def test_failures_of_the_machine_are_explained(error: Exception, said: str | None) -> None:
    line = explain(error)
    assert line == said if said is None else said in line
    assert line is None or "\n" not in line


def test_a_mistake_of_ours_is_a_line_and_a_traceback_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def stumble(**_: object) -> None:
        raise ZeroDivisionError("by\nnothing")

    monkeypatch.setitem(cli.COMMANDS, "demo", stumble)
    monkeypatch.setattr("passion.options.parse", lambda *_: {})
    with pytest.raises(ZeroDivisionError):
        cli.main(["demo"])
    monkeypatch.delenv("PASSION_TRACEBACK")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines, code = answer(["demo"], capsys)
    assert (code, len(lines)) == (1, 1)
    assert "unexpected ZeroDivisionError: by nothing; this is a mistake of passion's, please report it" in lines[0]
    [file] = tmp_path.glob("passion-*.txt")
    assert str(file) in lines[0]
    assert 'raise ZeroDivisionError("by\\nnothing")' in file.read_text()
