"""Rows of a case by subject and by slice."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from passion.data.boxes import Box
from passion.data.sources.brats import BRATS2020
from passion.data.store import PreparedStudy
from passion.evaluation.subsets import score_case


@pytest.fixture
def whole(study: Path) -> Any:
    """A case whose reference and prediction are given, on a grid of 1 mm."""
    case = PreparedStudy.open(study / "prepared").case("BraTS20_Training_001")
    reference = np.zeros((40, 40, 10), np.uint8)
    reference[5:25, 5:25, 2:8] = BRATS2020.region_classes("ET")[0]
    grid = replace(case.grid, shape=reference.shape, affine=np.eye(4))
    own = SimpleNamespace(
        name="a", own_grid=grid, read_reference=lambda: reference, to_own_grid=lambda labels, _: labels
    )
    return SimpleNamespace(case=own, box=Box.whole(reference.shape))


def rows_of(whole: Any, prediction: np.ndarray, minimum_mm3: float, by: str) -> list[dict[str, Any]]:
    region = replace(BRATS2020.regions["ET"], minimum_mm3=minimum_mm3)
    study = replace(BRATS2020, regions={"ET": region})
    return score_case(whole, study, {"t1": prediction}, by)  # type: ignore[arg-type, return-value]


def test_a_region_is_too_small_in_the_volume_and_not_in_a_slice(whole: Any) -> None:
    """400 voxels in each of 6 slices."""
    perfect = whole.case.read_reference()
    for minimum, dice in ((2400.0, 1.0), (2401.0, 0.4)):
        rows = rows_of(whole, perfect, minimum, "slice")
        assert len(rows) == 10
        assert np.mean([row["dice"] for row in rows]) == pytest.approx(dice)
        assert rows_of(whole, perfect, minimum, "subject")[0]["dice"] == (dice == 1.0)


def test_a_lesion_that_is_missed_in_a_slice_counts_however_small(whole: Any) -> None:
    reference = whole.case.read_reference()
    reference[5:25, 5:25, 7] = 0
    reference[5:12, 5:12, 7] = BRATS2020.region_classes("ET")[0]
    missed = reference.copy()
    missed[..., 7] = 0
    rows = rows_of(whole, missed, 0.0, "slice")
    assert [row["lesion_dice"] for row in rows] == [1.0] * 7 + [0.0] + [1.0] * 2
