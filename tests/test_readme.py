"""The Python of README and docs runs and prints what it says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = [
    (path.name, number, code)
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]


@pytest.mark.parametrize(("page", "number", "code"), EXAMPLES, ids=lambda value: str(value)[:20])
def test_python_example(page: str, number: int, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands behind `#` after a print is what it prints."""
    promised = [line.split("#")[1].strip() for line in code.splitlines() if line.startswith("print")]
    exec(compile(code, f"{page}, example {number}", "exec"), {"__name__": "example"})
    assert promised
    assert capsys.readouterr().out.splitlines() == promised
