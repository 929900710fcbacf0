"""Perfect data training: every modality is there, and a random subset of them is fed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import passion, training_words

from passion.configuration import Configuration
from passion.data.loading import PatchSettings, TrainingPatches, collate, draw_fed
from passion.data.split import read_split
from passion.data.store import PreparedStudy
from passion.experiment import assemble, training_presence

MODALITIES = 4


@pytest.fixture(scope="module")
def run(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch with PASSION."""
    out = tmp_path_factory.mktemp("perfect") / "run"
    few = ("--training.epochs", 1, "--training.validate_every", 0, "--data.samples_per_epoch", 4)
    words = list(training_words(study, out, "--data.setting", "pdt", "--data.spatial_dims", 2, *few))
    place = words.index("--data.presence")
    passion(*words[:place], *words[place + 2 :])
    return out


def test_every_subset_is_fed_as_often() -> None:
    random = np.random.default_rng(0)
    fed = torch.stack([draw_fed(MODALITIES, random) for _ in range(15000)])
    kinds, counts = torch.unique(fed, dim=0, return_counts=True)
    assert len(kinds) == 15
    assert kinds.any(1).all()
    assert (counts.double() / 15000 - 1 / 15).abs().max() < 0.01


def test_what_is_fed_is_drawn_anew_for_each_sample_inside_of_what_is_present(run: Path) -> None:
    data = Configuration.from_file(run / "config.yaml").data
    prepared = PreparedStudy.open(data.prepared)
    presence = training_presence(data, prepared, read_split(data.split, prepared.cases))
    assert presence.matrix.all()
    patches = TrainingPatches(prepared, presence, PatchSettings((16, 16), "random", "pdt", None, seed=0))
    batch = collate([patches[0, position, position % len(patches)] for position in range(200)])
    assert batch.present.all()
    seen = batch.images.flatten(2).any(2)
    assert torch.equal(seen.all(1), seen.any(1))
    assert seen.any()
    assert len(torch.unique(batch.fed, dim=0)) == 15
    imperfect = TrainingPatches(prepared, presence, replace(patches.settings, setting="idt"))
    assert imperfect[0, 0, 0].fed.all()


def test_a_training_balances_nothing_and_teaches_every_modality(run: Path) -> None:
    assembled = assemble(Configuration.from_file(run / "config.yaml"))
    assert assembled.module.objective.gradient_weight.beta.tolist() == [1.0] * MODALITIES
    history = pd.read_csv(run / "history.csv", keep_default_na=False)
    values = history.set_index(["quantity", "part"])["value"].astype(float)
    assert (values["beta"] == 1).all()
    for term in ("pixel", "semantic", "gap"):
        assert len(values[term]) == MODALITIES, term
        assert (values[term] > 0).all(), term
    assert pd.read_csv(run / "presence.csv").drop(columns="case").to_numpy().all()
