"""The Python of README and docs runs and prints what it says."""

import re
import shlex
from pathlib import Path

import pytest

from passion import cli
from passion.options import parse

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLES = [
    (path.name, number, code)
    for path in PAGES
    if path.name != "predict.md"  # which needs runs, and is tested in test_predict_page.py
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]
COMMANDS = [
    shlex.split(command.replace("\\\n", " "), comments=True)[1:]
    for path in PAGES
    for command in re.findall(r"^    \$ (passion (?:.*\\\n)*.*)$", path.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("page", "number", "code"), EXAMPLES, ids=lambda value: str(value)[:20])
def test_python_example(page: str, number: int, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands behind `#` after a print is what it prints."""
    promised = [line.split("#")[1].strip() for line in code.splitlines() if line.startswith("print")]
    exec(compile(code, f"{page}, example {number}", "exec"), {"__name__": "example"})
    assert promised
    assert capsys.readouterr().out.splitlines() == promised


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_are_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option in the docs exists and takes what it is given; the runs themselves are in the other tests."""
    monkeypatch.chdir(ROOT)
    name = " ".join(words[: 2 if words[0] == "phantom" else 1])
    if name != "predict":
        assert parse(name, cli.COMMANDS[name], words[name.count(" ") + 1 :])


def test_every_command_stands_in_the_docs() -> None:
    shown = {" ".join(words[: 2 if words[0] == "phantom" else 1]) for words in COMMANDS}
    assert shown | {"demo"} == set(cli.COMMANDS)
