"""Imports go down one line: data, missingness, networks, objectives, ..., report."""

import ast
from pathlib import Path

import passion

ROOT = Path(passion.__file__).parent
LINE = [
    "data", "missingness", "networks", "objectives", "evaluation.metrics", "windows", "inference", "training",
    "configuration", "trust", "weights", "models", "runs", "progress", "warm_start", "experiment", "importing",
    "evaluation", "segmentation", "prediction", "predicted_cases", "bundle", "experiments", "report", "exporting",
    "overview", "options", "commands", "demo", "cli",
]  # fmt: skip
EVERYWHERE = {"errors", "files", "parallel", "plugins", "reading", "typed"}
LAZY = {"commands"}
"""Imports inside the functions of these do not count: commands reach everything, when they are asked to."""


def room(module: str) -> str | None:
    parts = module.split(".")[1:]
    for depth in (2, 1):
        name = ".".join(parts[:depth])
        if name in LINE:
            return name
    return None


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if path.parent.name in LAZY else list(ast.walk(tree))
    return {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_imports_go_down_the_line() -> None:
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(("passion", *path.relative_to(ROOT).with_suffix("").parts))
        own = room(module)
        for target in imports(path):
            other = room(target) if target.startswith("passion.") else None
            if own and other and LINE.index(other) > LINE.index(own) and (own, other) != ("data", "missingness"):
                wrong.append(f"{module} imports {target}")
    assert wrong == []


def test_the_report_never_imports_torch() -> None:
    for path in (ROOT / "report").glob("*.py"):
        assert not any(module.split(".")[0] in ("torch", "monai", "lightning") for module in imports(path)), path
