"""The docs do what they say: commands run, Python prints what it promises, every page can be reached."""

import ast
import importlib
import inspect
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
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
def test_python_of_the_readme(
    code: str, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shelf.serve(re.findall(r'"([\w/.]+)"', code))
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


LISTING = re.compile(r"^::: (?P<place>\S+)\n?(?P<options>(?: +.*\n?)*)", re.MULTILINE)


def names_listed(reference: str) -> Iterator[str]:
    """What a page of the reference lists: members of a module, or a name by itself."""
    for listing in LISTING.finditer(reference):
        members = (yaml.safe_load(listing["options"]) or {}).get("options", {}).get("members")
        yield from (f"{listing['place']}.{name}" for name in members) if members else [listing["place"]]


def used_in(code: str) -> Iterator[object]:
    """What of the package a block of Python not only imports but uses, also as an attribute of a module."""
    tree = ast.parse(code)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {
        alias.asname or alias.name: resolve_name(f"{node.module}.{alias.name}")
        for node in imports
        for alias in node.names
        if str(node.module).partition(".")[0] == "passion"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in imported:
            yield imported[node.id]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield getattr(imported.get(node.value.id), node.attr, None)


def without_example(names: Iterable[str]) -> list[str]:
    """Those that no block of the docs uses and that have no doctest of their own; a whole module has no example."""
    found = {name: resolve_name(name) for name in names}
    used = [one for block in ALL_BLOCKS for one in used_in(block["python"] or "") if not inspect.ismodule(one)]
    return [name for name, one in found.items() if not (has_doctest(one) or any(one is other for other in used))]


def has_doctest(thing: object) -> bool:
    return (inspect.isclass(thing) or inspect.isfunction(thing)) and ">>> " in (thing.__doc__ or "")


LISTED = [name for page in PAGES if page.parent.name == "reference" for name in names_listed(page.read_text())]


def test_everything_in_the_reference_has_an_example(pytestconfig: pytest.Config) -> None:
    assert len(LISTED) == len(set(LISTED)) > 50
    assert without_example(LISTED) == []
    assert pytestconfig.getoption("doctestmodules")
    assert "src" in pytestconfig.getini("testpaths")


def test_what_has_no_example_is_noticed() -> None:
    page = "::: passion.files\n    options:\n      members: [remove, sweep]\n\nText.\n\n::: passion.networks.build\n"
    names = list(names_listed(page))
    assert names == ["passion.files.remove", "passion.files.sweep", "passion.networks.build"]
    assert without_example([*names, "passion.networks"]) == [*names[:2], "passion.networks"]
    with pytest.raises(AttributeError, match="no_such_name"):
        without_example(["passion.networks.no_such_name"])
    networks = importlib.import_module("passion.networks")
    imported, used = "from passion.networks import all_subsets, build\n", "build('rfnet')"
    assert list(used_in(imported)) == []
    assert list(used_in(imported + used)) == [networks.build]
    assert networks.build in list(used_in(f"from passion import networks\nnetworks.{used}"))


@pytest.mark.parametrize("module", ["passion", "passion.networks", "passion.objectives"])
def test_everything_public_is_in_the_reference(module: str) -> None:
    package, listed = importlib.import_module(module), [resolve_name(name) for name in LISTED]
    missing = [name for name in package.__all__ if not any(getattr(package, name) is one for one in listed)]
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
