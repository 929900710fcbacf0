"""Presence matrices: exact draws, and the published files."""

import itertools

import numpy as np
import pytest

from passion.errors import InputError
from passion.missingness import (
    draw_presence,
    pattern_counts,
    pattern_probabilities,
    presence_of,
    read_presence,
)

RATES = [*itertools.permutations([0.2, 0.5, 0.8]), (0.2, 0.4, 0.6, 0.8), (0.5, 0.5), (0.0, 0.9, 0.9), (0.9, 0.0)]


@pytest.mark.parametrize("rates", RATES, ids=str)
def test_probabilities_have_the_marginals_and_maximum_entropy(rates: tuple[float, ...]) -> None:
    patterns, p = pattern_probabilities(np.array(rates))
    assert patterns.any(1).all()
    np.testing.assert_allclose(p @ patterns, 1 - np.array(rates), atol=1e-9)
    assert p.sum() == pytest.approx(1)
    if (p > 1e-12).all():
        # Of exponential form, log p is affine in the pattern: that characterises maximum entropy.
        design = np.hstack([np.ones((len(p), 1)), patterns])
        residual = np.log(p) - design @ np.linalg.lstsq(design, np.log(p), rcond=None)[0]
        assert np.abs(residual).max() < 1e-6


@pytest.mark.parametrize("rates", RATES, ids=str)
@pytest.mark.parametrize("cases", [17, 36, 219])
def test_realised_rates_are_within_half_a_case(rates: tuple[float, ...], cases: int) -> None:
    patterns, counts = pattern_counts(np.array(rates), cases)
    assert counts.sum() == cases
    assert np.abs(counts @ patterns - cases * (1 - np.array(rates))).max() <= 0.5 + 1e-6


def test_draws_follow_the_seed_and_respect_what_lacks() -> None:
    names = ["a", "b"]
    own = presence_of({str(i): ["a"] if i < 3 else names for i in range(20)}, names)
    first, again, other = (draw_presence(own, np.array([0.3, 0.3]), seed) for seed in (0, 0, 1))
    assert (first.matrix == again.matrix).all()
    assert (first.matrix != other.matrix).any()
    assert first.matrix.any(1).all()
    assert not first.matrix[:3, 1].any()


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(InputError, match="under 1"):
        pattern_counts(np.array([0.7, 0.8]), 20)


def test_published_files_are_read(tmp_path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(
        "data_name,mask_id,mask,pos_mask_ids\n"
        'HG_BraTS20_Training_002,10,"[True, True, True, False]","[1, 2]"\n'
        'LG_BraTS20_Training_260,2,"[False, False, False, True]",[2]\n'
    )
    cases = ["BraTS20_Training_002", "BraTS20_Training_260"]
    presence = read_presence(path, cases, ["t1", "t1c", "flair", "t2"])
    assert presence.of(cases[0]) == ["t1", "t1c", "flair"]
    assert presence.of(cases[1]) == ["t2"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("case,a,b\nx,1,0\n", "modality 'b' is in none"),
        ("case,a,b\nx,0,0\ny,1,1\n", "case 'x' has no modality"),
        ("case,a,b\nx,1,2\n", "write 0 or 1"),
        ("case,a\nx,1\n", "has columns"),
        ("case,a,b\nz,1,1\n", "case 'z' is not in the study"),
        ("case,a,b\nx,1,1\nx,1,1\n", "is listed twice"),
    ],
)
def test_unfit_files_are_refused(content: str, said: str, tmp_path) -> None:
    path = tmp_path / "presence.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        read_presence(path, ["x", "y"], ["a", "b"])
