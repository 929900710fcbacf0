"""The card says what the run's files say, and nothing about cases; the page says what the card says."""

import inspect
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import passion
from untrained import untrained_run

from passion.data.sources import read_study
from passion.data.sources.brats import BRATS2020
from passion.data.store import PreparedStudy
from passion.evaluation.run import same_but_for_order
from passion.exporting import card as cards
from passion.exporting.page import page_of
from passion.networks import network_class


@pytest.fixture(scope="module")
def card(model: Path) -> dict:
    return json.loads((model / "card.json").read_text())


def test_scores_are_the_means_of_the_runs_scores(card: dict, trained: Path) -> None:
    scores = pd.read_csv(trained / "evaluation/test-last/scores.csv")
    (evaluation,) = card["evaluation"]
    assert (evaluation["part"], evaluation["cases"], evaluation["trained_on"]) == ("test", 2, 0)
    assert len(evaluation["scores"]) == 15 * 3
    for row in evaluation["scores"]:
        here = scores[(scores["subset"] == row["subset"]) & (scores["region"] == row["region"])]
        assert row["cases"] == len(here) == 2
        for column, shown in cards.SCORE_NAMES.items():
            assert row[shown] == pytest.approx(sum(here[column]) / 2, abs=5e-5)
    assert set(row) == {
        "subset", "region", "cases", "dice", "hd95_mm", "hd95_pooled_mm", "surface_dice", "lesion_dice"
    }  # fmt: skip
    settings = json.loads((trained / "evaluation/test-last/settings.json").read_text())
    assert evaluation["surface_tolerance_mm"] == settings["surface_tolerance"] == 1.0


def test_training_is_what_the_run_was_told_and_the_matrix_says(card: dict, trained: Path, study: Path) -> None:
    drawn, split = pd.read_csv(study / "presence.csv"), pd.read_csv(study / "split.csv")
    training = card["training"]
    assert training["cases"] == (split["part"] == "train").sum()
    for modality, rate in training["missing_rates"].items():
        assert rate == pytest.approx((drawn[modality] == 0).mean(), abs=5e-5)
    configuration = yaml.safe_load((trained / "config.yaml").read_text())
    assert training["objective"] == configuration["objective"]
    assert training["epochs"] == card["checkpoint"]["epoch"] == 2
    assert card["network"].items() >= {**configuration["network"], "modalities": 4, "classes": 4}.items()
    assert card["study"]["phantom"] is True


def test_every_option_of_the_network_is_written_down(card: dict) -> None:
    parameters = inspect.signature(network_class("mmformer")).parameters
    assert set(card["network"]) == {"name", *parameters}


@pytest.mark.parametrize("folder", ["model", "bundle"])
def test_no_file_names_a_case_or_a_place(folder: str, trained: Path, study: Path, request) -> None:
    secrets = ["BraTS20_", study.name, str(trained), "prepared/", "split-", "/tmp", str(Path.home())]
    for path in request.getfixturevalue(folder).rglob("*.*"):
        content = path.read_bytes()
        assert not [word for word in secrets if word.encode() in content], path


def test_the_page_follows_from_the_card(card: dict, model: Path) -> None:
    page = (model / "README.md").read_text()
    how = page.split("## How it is used\n\n")[1].split("\n\n## Training")[0]
    assert page_of(card, how) == page
    header, *_ = page.removeprefix("---\n").split("---\n")
    assert yaml.safe_load(header)["license"] == "cc-by-4.0"
    assert "# A \\| first try" in page
    assert "not a medical device" in page
    assert "trained on phantoms" in page
    (evaluation,) = card["evaluation"]
    for title, key, scale in (
        ("Dice [%]", "dice", 100),
        ("HD95 [mm]", "hd95_mm", 1),
        ("Surface Dice at 1.0 mm [%]", "surface_dice", 100),
        ("Lesion-wise Dice [%]", "lesion_dice", 100),
    ):
        table = page.split(f"\n{title} on test, means over 2 cases:\n\n")[1].split("\n\n")[0]
        rows = [line.split(" | ") for line in table.strip("| ").splitlines()[2:]]
        shown = {subset.strip("| "): first for subset, first, *_ in rows}
        whole = {row["subset"]: f"{scale * row[key]:.2f}" for row in evaluation["scores"] if row["region"] == "WT"}
        assert shown == whole


def test_an_evaluation_of_an_earlier_version_says_what_it_has(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    folder = run / "evaluation/test-last"
    pd.read_csv(folder / "scores.csv").drop(columns=["surface_dice", "lesion_dice"]).to_csv(
        folder / "scores.csv", index=False
    )
    settings = json.loads((folder / "settings.json").read_text())
    del settings["surface_tolerance"]
    (folder / "settings.json").write_text(json.dumps(settings))
    passion("export", run, "-o", tmp_path / "model")
    card, page = (json.loads((tmp_path / "model/card.json").read_text()), (tmp_path / "model/README.md").read_text())
    assert set(card["evaluation"][0]["scores"][0]) == {
        "subset", "region", "cases", "dice", "hd95_mm", "hd95_pooled_mm"
    }  # fmt: skip
    assert "surface_tolerance_mm" not in card["evaluation"][0]
    assert "HD95 [mm] on test" in page
    assert "Surface Dice" not in page
    assert "Lesion-wise" not in page


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", BRATS2020, {"name": "rfnet", "width": 4})
    passion("export", run, "-o", tmp_path / "model")
    card, page = (json.loads((tmp_path / "model/card.json").read_text()), (tmp_path / "model/README.md").read_text())
    assert card["evaluation"] == "not evaluated"
    assert card["training"].startswith("not known")
    assert card["license"] == "not stated"
    assert "license:" not in page
    for sentence in ("It was not evaluated: nothing is known", "Its training is not known", "It was not evaluated."):
        assert sentence in page


def test_scores_of_cases_that_were_trained_on_are_called_so(trained: Path, study: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    split, path = pd.read_csv(study / "split.csv"), run / "evaluation/test-last/scores.csv"
    scores = pd.read_csv(path)
    first = split.loc[split["part"] == "train", "case"].iloc[0]
    scores["case"] = np.where(scores["case"] == scores["case"][0], first, scores["case"])
    scores.to_csv(path, index=False)
    passion("export", run, "-o", tmp_path / "model")
    assert "trained on 1 of the 2 cases of test" in (tmp_path / "model/README.md").read_text()


def test_limits_of_a_real_study_and_of_a_chosen_epoch() -> None:
    training = {"cases": 219, "missing_rates": {"t1": 0.0, "t2": 0.0}}
    evaluation = [{"part": "val", "cases": 50, "trained_on": 0}]
    limits = " ".join(cards.limits_of(BRATS2020, "best", training, evaluation))
    assert "219 cases of BraTS2020" in limits
    assert "chosen by the scores on val" in limits
    assert "phantom" not in limits
    assert "lacked" not in limits


def test_phantoms_are_known_as_such_and_patients_can_be_scored_all_the_same(raw: Path, study: Path) -> None:
    found, _ = read_study(raw)
    assert found == replace(BRATS2020, phantom=True)
    assert PreparedStudy.open(study / "prepared").study == found
    assert same_but_for_order(BRATS2020, found)
    assert not same_but_for_order(replace(BRATS2020, name="other"), found)
