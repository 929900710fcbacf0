"""Presence matrices: exact draws, and the published files."""

import itertools

import numpy as np
import pytest

from passion.errors import InputError
from passion.missingness import (
    Presence,
    draw_presence,
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


def complete(cases: int, modalities: int) -> Presence:
    names = tuple(f"m{number}" for number in range(modalities))
    return presence_of({str(case): names for case in range(cases)}, names)


@pytest.mark.parametrize("rates", RATES, ids=str)
@pytest.mark.parametrize("cases", [17, 36, 219])
def test_realised_rates_are_within_half_a_case(rates: tuple[float, ...], cases: int) -> None:
    drawn = draw_presence(complete(cases, len(rates)), np.array(rates), 0).matrix
    assert np.abs(drawn.sum(0) - cases * (1 - np.array(rates))).max() <= 0.5 + 1e-6


def test_draws_follow_the_seed_and_respect_what_lacks() -> None:
    names = ["a", "b"]
    own = presence_of({str(i): ["a"] if i < 3 else names for i in range(20)}, names)
    first, again, other = (draw_presence(own, np.array([0.3, 0.3]), seed) for seed in (0, 0, 1))
    assert (first.matrix == again.matrix).all()
    assert (first.matrix != other.matrix).any()
    assert first.matrix.any(1).all()
    assert not first.matrix[:3, 1].any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("asked", [(0.4, 0.5, 0.6), (0.2, 0.4, 0.2), (0.0, 0.1, 0.7), (0.9, 0.3, 0.0)], ids=str)
def test_what_lacks_counts_towards_the_asked_rate(asked: tuple[float, ...], seed: int) -> None:
    """And where more lacks than was asked for, nothing more is taken."""
    own = complete(100, 3)
    random = np.random.default_rng(seed)
    own.matrix[random.permutation(100)[:30], 0] = False
    own.matrix[random.permutation(100)[:12], 2] = False
    own.matrix[~own.matrix.any(1), 1] = True
    drawn = draw_presence(own, np.array(asked), seed).matrix
    assert not (drawn & ~own.matrix).any()
    assert drawn.any(1).all()
    expected = np.maximum(100 * np.array(asked), (~own.matrix).sum(0))
    assert np.abs((~drawn).sum(0) - expected).max() <= 0.5 + 1e-6
    for modality in range(3):
        if (~own.matrix).sum(0)[modality] >= 100 * asked[modality]:
            assert (drawn[:, modality] == own.matrix[:, modality]).all()


def test_with_nothing_else_asked_what_lacks_is_taken_at_random() -> None:
    """Of 200 cases half lack b; a is to lack in 40 of them: as maximum entropy has it, from both halves alike."""
    own = complete(200, 3)
    own.matrix[:100, 1] = False
    drawn = draw_presence(own, np.array([0.2, 0.5, 0.0]), 0).matrix
    assert (~drawn[:100, 0]).sum() == (~drawn[100:, 0]).sum() == 20


def test_impossible_rates_are_refused() -> None:
    own = complete(20, 2)
    own.matrix[3] = False
    with pytest.raises(InputError, match=r"the files: case '3' has no modality \(1 such cases\); leave it out"):
        draw_presence(own, np.array([0.2, 0.2]), 0)
    with pytest.raises(InputError, match="under 1"):
        draw_presence(complete(20, 2), np.array([0.7, 0.8]), 0)
    own = complete(20, 2)
    own.matrix[:10, 1] = False
    with pytest.raises(InputError, match="cannot be met within half a case by 20 cases"):
        draw_presence(own, np.array([0.8, 0.5]), 0)


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
        ("case,a,b\nx_slice_3,1,1\nx_slice_03,1,0\n", "case 'x_slice_3' is listed twice"),
        ("case,a,b\nx_slice_x,1,1\n", "row 'x_slice_x' names no position"),
        ("case,a,b\nx_slice_-1,1,1\n", "row 'x_slice_-1' names no position"),
        ("case,a,b\nx_slice_,1,1\n", "row 'x_slice_' names no position"),
        ("case,a,b\nx_slice_\u0663,1,1\n", "no position"),
        (f"case,a,b\nx_slice_{'9' * 5000},1,1\n", "no position"),
        ("case,a,b\nx_slice_3,1,0\nx,1,1\n", "row 'x_slice_3' stands beside 'x'"),
    ],
)
def test_unfit_files_are_refused(content: str, said: str, tmp_path) -> None:
    path = tmp_path / "presence.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        read_presence(path, ["x", "y"], ["a", "b"])
