"""The docs do what they say: commands run, Python prints what it promises, every page can be reached."""

import importlib
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from command_line import passion
from mkdocs.exceptions import PluginError
from shelf import Shelf, command_name, tiny

from passion import cli
from passion.options import parse

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(
    r"```python\n(?P<python>[\s\S]*?)```"
    r"|^    \$ (?P<command>(?:passion|python -m) (?:.*\\\n)*.*)\n(?P<shown>(?:    (?!\$ ).*\n)*)",
    re.MULTILINE,
)


def blocks(page: Path) -> Iterator[re.Match[str]]:
    return BLOCK.finditer(page.read_text())


def words_of(command: str) -> list[str]:
    return shlex.split(command.replace("\\\n", " "), comments=True)[1:]


ALL_BLOCKS = [block for page in (README, *PAGES) for block in blocks(page)]
RUN_ELSEWHERE = {"experiment", "--serve"}
"""Words of commands that take long however small: tests/experiments and tests/report run them."""


@pytest.fixture(scope="session")
def shelf(study: Path, trained: Path, demonstration: Path) -> Shelf:
    return Shelf(study, trained, demonstration)


def run_python(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands behind `#` after a print is what it prints."""
    promised = [line.split("#")[1].strip() for line in code.splitlines() if line.startswith("print")]
    capsys.readouterr()
    exec(compile(code, "example", "exec"), {"__name__": "example"})
    assert promised
    assert capsys.readouterr().out.splitlines() == promised


def run_command(command: str, shown: str, shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """It succeeds and prints the lines that are shown below it, whatever their numbers; not those in parentheses."""
    words = words_of(command)
    shelf.serve(words)
    capsys.readouterr()
    if command.startswith("python"):
        subprocess.run([sys.executable, *words], env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, check=True)
    elif RUN_ELSEWHERE & set(words):
        understood(words)
    else:
        passion(*tiny(words))
    printed = without_numbers(capsys.readouterr().out)
    for line in filter(None, map(str.strip, shown.splitlines())):
        assert line[0] in "(." or without_numbers(line) in printed, f"{command}\nprinted no {line!r} but\n{printed}"


def understood(words: Sequence[str]) -> None:
    """Every option exists and takes what it is given."""
    name = command_name(words)
    assert parse(name, cli.COMMANDS[name], words[name.count(" ") + 1 :])


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", " ".join(text.split()))


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=lambda page: page.stem)
def test_page_runs_from_top_to_bottom(
    page: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block["python"]:
            shelf.serve_python(block["python"])
            run_python(block["python"], capsys)
        else:
            run_command(block["command"], block["shown"], shelf, capsys)


@pytest.mark.parametrize("code", [block["python"] for block in blocks(README) if block["python"]])
def test_python_of_the_readme(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_python(code, capsys)


@pytest.mark.parametrize(
    "words", [words_of(block["command"]) for block in blocks(README) if block["command"]], ids=" ".join
)
def test_commands_of_the_readme_are_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of docs/ run the same ones."""
    monkeypatch.chdir(ROOT)
    if words[0] != "predict" and "--resume" not in words:  # which need a run
        understood(words)


def test_every_command_has_an_example() -> None:
    commands = [words_of(block["command"]) for block in ALL_BLOCKS if (block["command"] or "").startswith("passion")]
    assert {command_name(words) for words in commands} == set(cli.COMMANDS)


@pytest.mark.parametrize("module", ["passion", "passion.networks", "passion.objectives"])
def test_everything_public_has_an_example(module: str) -> None:
    code = "\n".join(block["python"] or "" for block in ALL_BLOCKS)
    missing = [name for name in importlib.import_module(module).__all__ if not re.search(rf"\b{name}\b", code)]
    assert missing == []


def test_every_page_is_in_the_navigation_once() -> None:
    def leaves(entry: object) -> Iterator[str]:
        for value in entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ():
            yield from [value] if isinstance(value, str) else leaves(value)

    navigation = list(leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(navigation) == sorted(str(page.relative_to(ROOT / "docs")) for page in PAGES)


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README.read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_drawn_presence_matrix_is_what_the_library_draws() -> None:
    """Words and rates; how equally good patterns are shared out may differ between versions of the solver."""
    drawn = runpy.run_path(str(ROOT / "docs/figures.py"))["presence"]()
    labels = re.findall("<text.*", drawn)
    assert len(labels) == 5
    assert re.findall("<text.*", (ROOT / "docs/presence.svg").read_text()) == labels


def test_pages_that_fetch_from_elsewhere_are_refused() -> None:
    check = runpy.run_path(str(ROOT / "docs/hooks.py"))["on_post_page"]
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    fine = '<a href="https://b.org">b</a><img src="c.png"><link rel="canonical" href="https://d.org/a.html">'
    assert check(fine, page) == fine
    for tag in ('<script async src="https://b.org/c.js">', '<link rel="stylesheet" href="//b.org/c.css">'):
        with pytest.raises(PluginError, match="fetches from elsewhere"):
            check(fine + tag, page)
