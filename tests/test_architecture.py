"""Imports go down one line: missingness, data, networks, objectives, ..., report."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import passion

ROOT = Path(passion.__file__).parent
LINE = [
    "missingness", "data", "networks", "objectives", "evaluation.metrics", "windows", "inference", "training",
    "configuration", "trust", "weights", "models", "runs", "run_folder", "warm_start", "experiment", "importing",
    "evaluation", "segmentation", "prediction", "predicted_cases", "bundle", "experiments", "report", "exporting",
    "overview", "options", "commands", "demo", "cli",
]  # fmt: skip
EVERYWHERE = {"allocator", "errors", "failures", "files", "parallel", "plugins", "reading", "run_files", "typed"}
"""Who may be imported by all, and imports nobody but each other."""

LAZY = {"commands"}
"""Imports inside the functions of these do not count: commands reach everything, when they are asked to."""

HEAVY = ("torch", "monai", "lightning", "matplotlib.pyplot")
"""What the report does without until it draws."""


def modules() -> Iterator[tuple[str, Path]]:
    """Names within the package, and files."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts != ("__init__",):
            yield ".".join(parts).removesuffix(".__init__"), path


def room(module: str) -> str | None:
    """The place in the line, of a name within the package."""
    parts = module.split(".")
    return next((name for depth in (2, 1) if (name := ".".join(parts[:depth])) in LINE), None)


def imports(path: Path) -> set[str]:
    """Names within the package that a module imports; `from passion import x` too."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if path.parent.name in LAZY else list(ast.walk(tree))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"passion.{alias.name}" for alias in node.names} if node.module == "passion" else {node.module}
            found |= names
    return {name.removeprefix("passion.") for name in found if name.startswith("passion.")}


def test_every_module_has_its_place() -> None:
    assert [name for name, _ in modules() if room(name) is None and name not in EVERYWHERE] == []
    assert [name for name in LINE if name not in {room(module) for module, _ in modules()}] == []


def test_imports_go_down_the_line() -> None:
    wrong = []
    for module, path in modules():
        own = room(module)
        for target in imports(path):
            other = room(target)
            if other and (own is None or LINE.index(other) > LINE.index(own)):
                wrong.append(f"{module} imports {target}")
    assert wrong == []


def test_the_report_imports_nothing_heavy() -> None:
    code = (
        "import importlib, pkgutil, sys, passion.report\n"
        "for module in pkgutil.walk_packages(passion.report.__path__, 'passion.report.'):\n"
        "    importlib.import_module(module.name)\n"
        f"sys.exit(str([name for name in {HEAVY!r} if name in sys.modules] or ''))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
