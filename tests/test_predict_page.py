"""docs/predict.md is followed, word by word."""

import re
import shlex
import shutil
from inspect import signature
from pathlib import Path

import pandas as pd
import pytest
from command_line import passion

from passion import cli
from passion.data.sources.declaration import TAKEN

PAGE = (Path(__file__).parents[1] / "docs/predict.md").read_text()
COMMANDS = [shlex.split(line) for line in re.findall(r"^    \$ passion (.*)$", PAGE, re.MULTILINE)]
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(trained: Path, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page supposes to be there."""
    out = tmp_path_factory.mktemp("page")
    for name in ("passion", "baseline"):
        shutil.copytree(trained, out / "runs" / name)
    cases = sorted(raw.iterdir())
    for case in cases[:2]:
        shutil.copytree(case, out / "raw" / case.name)
    for name, case in zip(("anna", "bert"), cases, strict=False):
        (out / "new" / name).mkdir(parents=True)
        for modality, suffix in (("t1c", "t1ce"), ("flair", "flair"), ("t2", "t2")):
            shutil.copy(case / f"{case.name}_{suffix}.nii.gz", out / "new" / name / f"{modality}.nii.gz")
    (out / "imagesTs").mkdir()
    shutil.copy(out / "new/anna/t1c.nii.gz", out / "imagesTs/anna_0001.nii.gz")
    table = re.search(r"((?:^    .*,.*\n)+)\nand it takes the place", PAGE, re.MULTILINE)
    assert table is not None
    (out / "new.csv").write_text(table[1].replace("    ", ""))
    return out


def test_its_commands_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(folder)
    for words in COMMANDS:
        passion(*words)
        target = Path(words[words.index("-o") + 1])
        assert target.is_file() or (target / "cases.csv").is_file()
    said = capsys.readouterr().out
    assert said.startswith("anna.nii.gz: segmented from t1c+flair\n")
    assert "segmented: 2 cases segmented, 0 kept; subsets and volumes in segmented/cases.csv\n" in said
    header = re.search(r"^    (case,modalities,.*)$", PAGE, re.MULTILINE)
    assert header is not None
    assert ",".join(pd.read_csv("segmented/cases.csv").columns) == header[1]
    assert list(pd.read_csv("segmented-new/cases.csv")["modalities"]) == ["t1c+flair", "flair"]
    assert list(pd.read_csv("segmented-numbered/cases.csv")["modalities"]) == ["t1c"]
    assert len(list(Path("soft").iterdir())) == 2


def test_its_python_prints_what_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(folder)
    for code in EXAMPLES:
        promised = [line.split("#")[1].strip() for line in code.splitlines() if line.startswith("print")]
        exec(compile(code, "docs/predict.md", "exec"), {"__name__": "example"})
        assert capsys.readouterr().out.splitlines() == promised


def test_no_modality_can_be_called_as_an_option() -> None:
    names = set(signature(cli.predict).parameters) - {"runs"}
    assert names | {name.replace("_", "-") for name in names} <= TAKEN
