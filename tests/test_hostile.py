"""Damaged and hostile inputs are answered or refused; benchmarks/fuzz.py reads many more, under limits."""

import traceback
from pathlib import Path

import pytest
from hostile import KINDS, draw, outcome_of, write_examples

INPUTS = 500


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_examples(tmp_path_factory.mktemp("hostile") / "examples")


@pytest.mark.parametrize("name", [name for name in KINDS if name != "nifti"])
def test_what_is_not_harmed_is_answered(name: str, examples: Path) -> None:
    KINDS[name].read(examples / name)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_damaged_inputs_are_answered_or_refused(examples: Path, tmp_path: Path) -> None:
    found: dict[str, set[str]] = {name: set() for name in KINDS}
    mistakes = []
    for index in range(INPUTS):
        name, random = draw(1, index)
        try:
            found[name].add(outcome_of(name, random, examples, tmp_path / "work"))
        except Exception as error:
            mistakes.append(f"input {index}, {name}: " + "".join(traceback.format_exception(error)[-3:]))
    assert not mistakes, "\n".join(mistakes)
    assert all("refused" in outcomes for outcomes in found.values())
    assert sum("answered" in outcomes for outcomes in found.values()) >= len(KINDS) - 1
