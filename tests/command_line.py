"""Running commands as the command line does."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from passion import cli

RATES = "t1=0.2,t1c=0.4,flair=0.6,t2=0.8"


def passion(*words: object) -> None:
    """Run a command as the command line does; an exit code other than 0 is an error."""
    assert cli.run([str(word) for word in words]) == 0


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must be refused with exit code 2 and one clear line, which is returned."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(word) for word in words])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("passion: error: ")]
    assert stop.value.code == 2
    assert len(lines) == 1
    return lines[0]


def training_words(study: Path, out: Path, *more: object, objective: str = "passion") -> Sequence[object]:
    """The words of a short training run."""
    return (
        "train", "--data.prepared", study / "prepared", "--data.split", study / "split.csv",
        "--data.presence", study / "presence.csv", "--data.patch_size", 32, "--data.workers", 0,
        "--network.width", 4, "--network.token_dim", 16, "--network.token_hidden", 16, "--network.heads", 2,
        "--training.epochs", 2, "--training.validate_every", 2, "--training.accelerator", "cpu",
        "--objective.name", objective, "--out", out, *more,
    )  # fmt: skip


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[list[str], int]:
    """Run a command as a shell does: the lines that it says beside its tables and bars, and its exit code."""
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("passion: ")]
    notes = [line for line in captured.out.splitlines() if line.startswith(("note: ", "problem: "))]
    return lines + notes, int(stop.value.code or 0)


def listing() -> dict[str, int]:
    return {str(path): path.lstat().st_size for path in Path().rglob("*")}
