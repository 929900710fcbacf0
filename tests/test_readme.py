"""The README's Python runs and prints what it says."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_python_example(capsys) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == "torch.Size([2, 4, 32, 32, 32])"
    assert "# torch.Size([2, 4, 32, 32, 32])" in code
