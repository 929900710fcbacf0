"""The commands of docs/sharing.md, run one after the other where a new user would be."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from command_line import passion

import passion as package

PAGE = Path(__file__).parents[2] / "docs" / "sharing.md"
CASE = "BraTS20_Training_003"


def test_the_commands_of_the_page(trained: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "runs/passion")
    for name in ("prepared", "split.csv"):
        Path(name).symlink_to(study / name)
    Path("cases/one").mkdir(parents=True)
    for modality, suffix in (("t1c", "t1ce"), ("flair", "flair")):
        source = study / "raw" / CASE / f"{CASE}_{suffix}.nii.gz"
        for place in (f"{modality}.nii.gz", f"cases/one/{modality}.nii.gz"):
            shutil.copy(source, place)
    commands = re.findall(r"^    \$ ((?:.*\\\n)*.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        program, *words = shlex.split(command.replace("\\\n", " "))
        if program == "passion":
            passion(*words)
        else:
            here = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
            done = subprocess.run([sys.executable, *words], env=here, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    ours, monais = (np.asarray(nibabel.load(path).dataobj) for path in ("seg.nii.gz", "out/one_seg.nii.gz"))
    np.testing.assert_array_equal(monais, ours)
    assert Path("model-evaluation/test/scores.csv").exists()
