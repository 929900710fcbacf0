import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from passion.errors import InputError
from passion.report.results import read_run, subset_names

SCORES = "evaluation/test-last/scores.csv"


def test_a_run_is_read_as_it_was_written(runs: list[Path]) -> None:
    run = read_run(runs[1])
    assert run.name == "passion"
    assert run.config["objective"]["name"] == "passion"
    assert run.settings["overlap"] == 0.5
    assert run.missing_rates.to_dict() == pytest.approx({"t1": 0.2, "t1c": 0.4, "flair": 0.6, "t2": 0.8})
    assert list(run.curve("beta").columns) == ["t1", "t1c", "flair", "t2"]
    assert run.curve("beta").loc[0, "t2"] == pytest.approx(5.0, abs=0.01)
    assert run.scores["case"].iloc[0] == "001", "names of digits stay names"


def test_what_was_not_logged_has_no_curve(runs: list[Path]) -> None:
    assert read_run(runs[0]).curve("beta").empty


def test_examples_are_sorted_by_case_and_kind(runs: list[Path]) -> None:
    examples = read_run(runs[0]).examples
    assert list(examples) == ["001", "002"]
    with np.load(runs[0] / "evaluation/test-last/examples.npz") as stored:
        np.testing.assert_array_equal(examples["002"].predictions["t1c+t2"], stored["002/prediction/t1c+t2"])
        np.testing.assert_array_equal(examples["002"].images["flair"], stored["002/image/flair"])
    assert examples["001"].pixel_mm == (1.0, 1.0)


def test_an_evaluation_without_examples_has_none(runs: list[Path]) -> None:
    (runs[0] / "evaluation/test-last/examples.npz").unlink()
    assert read_run(runs[0]).examples == {}


def test_subsets_come_by_size_then_in_the_order_of_the_study(runs: list[Path]) -> None:
    names = subset_names(read_run(runs[0]).study)
    assert len(names) == 15
    assert names[:6] == ["t1", "t1c", "flair", "t2", "t1+t1c", "t1+flair"]
    assert names[-1] == "t1+t1c+flair+t2"


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("config.yaml", "not a run folder"),
        ("study.json", "is missing"),
        ("presence.csv", "is missing"),
        ("history.csv", "is missing"),
        ("versions.json", "is missing"),
        (SCORES, "run `passion evaluate"),
        ("evaluation/test-last/settings.json", "run `passion evaluate"),
    ],
)
def test_a_missing_file_is_named_with_the_remedy(runs: list[Path], file: str, says: str) -> None:
    (runs[0] / file).unlink()
    with pytest.raises(InputError, match=says) as error:
        read_run(runs[0])
    assert Path(file).name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("config.yaml", "a: [1", "cannot be read as YAML"),
        ("config.yaml", "- 1", "holds a list"),
        ("study.json", "{", "cannot be read as JSON"),
        ("study.json", "[]", "expected names with values"),
        ("study.json", json.dumps({"name": "x"}), "does not describe a study"),
        ("presence.csv", "case,t1\na,1\n", "no column 't1c'"),
        ("presence.csv", "case,t1,t1c,flair,t2\na,1,1,2,0\n", "neither 0 nor 1"),
        ("presence.csv", "case,t1,t1c,flair,t2\n", "no cases"),
        ("history.csv", "epoch,quantity,part,value\n0,total,,much\n", "no number"),
        ("history.csv", "", "cannot be read as CSV"),
    ],
)
def test_an_unfit_file_is_named_with_the_trouble(runs: list[Path], file: str, text: str, says: str) -> None:
    (runs[0] / file).write_text(text)
    with pytest.raises(InputError, match=says) as error:
        read_run(runs[0])
    assert file in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [("subset", "t2+t1", "subset 't2\\+t1'"), ("region", "XX", "region 'XX'"), ("dice", 1.2, "Dice outside")],
)
def test_scores_that_do_not_fit_the_study_are_refused(runs: list[Path], column: str, value: object, says: str) -> None:
    scores = pd.read_csv(runs[0] / SCORES)
    scores.loc[0, column] = value
    scores.to_csv(runs[0] / SCORES, index=False)
    with pytest.raises(InputError, match=says):
        read_run(runs[0])


def test_scores_given_twice_are_refused(runs: list[Path]) -> None:
    scores = pd.read_csv(runs[0] / SCORES)
    pd.concat([scores, scores.iloc[[3]]]).to_csv(runs[0] / SCORES, index=False)
    with pytest.raises(InputError, match="twice"):
        read_run(runs[0])


def test_damaged_examples_are_refused(runs: list[Path]) -> None:
    path = runs[0] / "evaluation/test-last/examples.npz"
    np.savez(path, **{"001/reference": np.zeros((2, 2), np.uint8)})
    with pytest.raises(InputError, match="lacks its reference or pixel_mm"):
        _ = read_run(runs[0]).examples
    np.savez(path, other=np.zeros(1))
    with pytest.raises(InputError, match="unknown entry 'other'"):
        _ = read_run(runs[0]).examples
    np.savez_compressed(path, **{"001/reference": np.zeros((200, 200), np.uint8)})
    whole = path.read_bytes()
    np.save(path.with_suffix(".npy"), np.zeros(3))
    array = path.with_suffix(".npy").read_bytes()
    broken = (whole[:start] + bytes(30) + whole[start + 30 :] for start in (0, 60, 90, len(whole) - 40))
    for content in (b"PK\x03\x04 cut", b"some text\n", array, *broken):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"examples\.npz: not a file of arrays"):
            _ = read_run(runs[0]).examples
