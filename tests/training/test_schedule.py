"""What changes over the epochs of a training, and what is measured on the way."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import passion, training_words

from passion.objectives import measure_preference
from passion.training import module

EPOCHS, STEPS = 3, 4


def history_of(study: Path, out: Path, objective: str, *more: object) -> pd.DataFrame:
    """History of a training on slices, of three epochs of four steps."""
    few = ("--training.epochs", EPOCHS, "--data.samples_per_epoch", STEPS, "--training.validate_every", 0)
    passion(*training_words(study, out, "--data.spatial_dims", 2, *few, *more, objective=objective))
    return pd.read_csv(out / "history.csv", keep_default_na=False)


@pytest.mark.parametrize(("objective", "every", "measured"), [
    ("baseline", 3, EPOCHS * 2), ("baseline", 0, 0), ("passion", 3, 0),
])  # fmt: skip
def test_preference_is_measured_every_so_many_steps_where_the_objective_does_not(
    objective: str, every: int, measured: int, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*arguments: object) -> object:
        asked.append(arguments)
        return measure_preference(*arguments)

    asked: list[object] = []
    monkeypatch.setattr(module, "measure_preference", measure)
    history = history_of(study, tmp_path / "run", objective, "--training.preference_every", every)
    assert len(asked) == measured
    epochs = history[history["quantity"].isin(["preference", "gap"])].groupby("quantity")["epoch"].unique()
    everywhere = list(range(EPOCHS))
    assert {name: list(found) for name, found in epochs.items()} == (
        {"preference": everywhere, "gap": everywhere} if measured or objective == "passion" else {}
    )


def test_the_learning_rate_decays_by_epoch(study: Path, tmp_path: Path) -> None:
    history = history_of(study, tmp_path / "run", "baseline", "--training.learning_rate", 1e-3)
    rates = history.loc[history["quantity"] == "learning_rate", "value"].astype(float)
    np.testing.assert_allclose(rates, [1e-3 * (1 - epoch / 3) ** 0.9 for epoch in range(3)], rtol=1e-6)
