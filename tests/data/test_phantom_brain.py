import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from brain_acceptance import LIMITS, acceptance, auc, case_figures, findings

from passion.data.phantom.anatomy import Grid, Tissues, grid_of, load_atlas
from passion.data.phantom.brain import BrainCase, generate_case, write_study
from passion.data.phantom.noise import even_uniforms, smooth_noise
from passion.data.phantom.tumour import Plan, Tumour, draw_growth, grow, largest_part
from passion.data.sources.brats import BRATS2020
from passion.errors import InputError

pytest.importorskip("nilearn")
SMALL = 40


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def cases() -> list[BrainCase]:
    return [generate_case(7, index, grid_of(SMALL)) for index in range(12)]


def test_population_resembles_brats():
    results = findings(acceptance(generate_case(0, index, grid_of(80)) for index in range(60)))
    assert [result.name for result in results] == list(LIMITS)
    assert [result for result in results if not result.ok] == []


def test_images_are_zero_outside_the_brain_and_nowhere_else(cases):
    for case in cases:
        assert tuple(case.images) == BRATS2020.modalities
        brain = case.images["t1"] > 0
        assert 700 < brain.sum() * grid_of(SMALL).voxel_mm ** 3 / 1000 < 2200
        for image in case.images.values():
            assert image.dtype == np.int16
            assert np.array_equal(image > 0, brain)
            assert image.min() == 0
        assert not case.labels[~brain].any()


def test_labels_are_those_of_brats(cases):
    found = set(np.unique([case.labels for case in cases]).tolist())
    assert found == set(BRATS2020.codes.tolist())
    assert any(case.high_grade for case in cases)
    assert not all(case.high_grade for case in cases)


def test_the_tumour_is_one_piece(cases):
    for case in cases:
        tumour = case.labels > 0
        assert np.array_equal(largest_part(tumour), tumour)


def test_both_hemispheres_have_tumours_and_most_keep_to_one(cases):
    shares = [(case.labels[: SMALL // 2] > 0).sum() / (case.labels > 0).sum() for case in cases]
    assert min(shares) < 0.1
    assert max(shares) > 0.9
    assert sum(0.15 < share < 0.85 for share in shares) <= len(shares) // 3


def grown_beside_the_midline(core_ml: float, csf: np.ndarray) -> Tumour:
    """A tumour whose origin lies 6 mm left of the midline, in white matter but for `csf`, on 48 voxels of 2 mm."""
    grid = Grid((48, 48, 48), 2.0)
    rng = np.random.default_rng(0)
    everywhere = np.ones(grid.shape, dtype=bool)
    right = everywhere & (np.arange(48) >= 24)[:, None, None]
    far = np.full(grid.shape, 12, np.float32)
    tissues = Tissues(everywhere, np.zeros_like(far), 1 - csf, csf, far, right)
    plan = Plan("rim", core_ml, oedema_ml=40.0)
    origin = (20, 24, 24)
    return grow(plan, draw_growth(plan, origin, grid, rng), tissues, origin, grid, rng)


def test_oedema_crosses_the_midline_only_with_the_core():
    dry = np.zeros((48, 48, 48), np.float32)
    small, large = grown_beside_the_midline(3.0, dry), grown_beside_the_midline(60.0, dry)
    assert small.labels[20:24].any()
    assert not small.labels[24:].any()
    assert (large.ncr | large.et)[24:].any()
    assert large.ed[24:].any()


def test_the_tumour_neither_enters_nor_crosses_csf():
    flooded = np.zeros((48, 48, 48), np.float32)
    flooded[:, :, 29:31] = 1
    tumour = grown_beside_the_midline(10.0, flooded)
    assert tumour.labels[:, :, 28].any()
    assert not tumour.labels[:, :, 29:].any()


def test_other_lesions_are_bright_on_flair_but_not_labelled(cases):
    def bright_share(case: BrainCase) -> float:
        flair, labels = case.images["flair"], case.labels
        oedema = np.median(flair[labels == 2])
        healthy = flair[(flair > 0) & (labels == 0)]
        return float((healthy > oedema).mean())

    assert max(bright_share(case) for case in cases) > 0.003


def test_a_case_follows_from_seed_and_index():
    grid = grid_of(32)
    first, again, other, next_one = (
        generate_case(seed, index, grid) for seed, index in ((1, 2), (1, 2), (2, 2), (1, 3))
    )
    assert np.array_equal(first.labels, again.labels)
    assert all(np.array_equal(first.images[name], again.images[name]) for name in first.images)
    assert not np.array_equal(first.images["t1"], other.images["t1"])
    assert not np.array_equal(first.images["t1"], next_one.images["t1"])


@pytest.mark.parametrize(("size", "offset"), [("full", 239.0), (80, 79 * 2.25)])
def test_the_affine_is_that_of_brats(size, offset):
    grid = grid_of(size)
    voxel = grid.voxel_mm
    assert np.array_equal(grid.affine, [[-voxel, 0, 0, 0], [0, -voxel, 0, offset], [0, 0, voxel, 0], [0, 0, 0, 1]])
    assert nib.aff2axcodes(grid.affine) == ("L", "P", "S")


def test_the_cerebellum_lies_at_the_back_and_the_vertex_on_top(cases):
    brain = cases[0].images["t1"] > 0
    height = brain.any(axis=0)
    lowest = np.array([np.argmax(column) if column.any() else SMALL for column in height])
    front, back = np.flatnonzero(lowest < SMALL)[[3, -4]]
    assert lowest[back] < lowest[front]
    assert np.argmax(brain.sum(axis=(0, 1))) > SMALL // 3


def test_sizes_hold_the_brain():
    assert grid_of("80") == grid_of(80)
    for size in (32, 48, 64, 80, 96, 128, 160):
        assert grid_of(size).shape[0] * grid_of(size).voxel_mm >= 171.9


def test_same_seed_same_bytes_whatever_the_number_of_cases(tmp_path):
    write_study(tmp_path / "a", 3, 32, seed=5)
    write_study(tmp_path / "b", 2, "32", seed=5)
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert {name: a[name] for name in b} == b
    assert {name.split("/")[0] for name in set(a) - set(b)} == {"BraTS20_Training_003"}
    packed = a["BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz"]
    assert packed[3] == 0, "a field, such as the file name, follows the gzip header"
    assert packed[4:8] == bytes(4), "the gzip header holds a time"
    assert b"McConnell Brain Imaging Centre" in a["NOTICE.txt"]


def test_files_are_in_the_layout_of_brats(tmp_path):
    write_study(tmp_path / "study", 1, 32, seed=0)
    case = generate_case(0, 0, grid_of(32))
    folder = tmp_path / "study" / "BraTS20_Training_001"
    assert sorted(path.name for path in folder.iterdir()) == [
        f"BraTS20_Training_001_{part}.nii.gz" for part in ("flair", "seg", "t1", "t1ce", "t2")
    ]
    for part, expected in (("t1ce", case.images["t1c"]), ("seg", case.labels)):
        image = nib.load(folder / f"BraTS20_Training_001_{part}.nii.gz")
        assert image.get_data_dtype() == np.int16
        assert np.array_equal(image.affine, case.affine)
        assert np.array_equal(np.asarray(image.dataobj), expected)


def test_an_interrupted_study_is_continued(tmp_path):
    class InterruptionError(Exception):
        pass

    def stop_at_third(indices):
        for index in indices:
            if index == 2:
                raise InterruptionError
            yield index

    write_study(tmp_path / "whole", 3, 32, seed=1)
    out = tmp_path / "parts"
    with pytest.raises(InterruptionError):
        write_study(out, 3, 32, seed=1, progress=stop_at_third)
    kept = out / "BraTS20_Training_001" / "BraTS20_Training_001_t1.nii.gz"
    (out / "BraTS20_Training_002" / "BraTS20_Training_002_seg.nii.gz").unlink()
    written = kept.stat().st_mtime_ns
    write_study(out, 3, 32, seed=1)
    assert contents(out) == contents(tmp_path / "whole")
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 32, 0), "0 cases"),
        ((1, 31, 0), "size 31"),
        ((1, "big", 0), "size 'big'"),
        ((1, 32, -1), "seed -1"),
        ((1, 32, 4), "other settings"),
        ((1, 33, 3), "other settings"),
    ],
)
def test_wrong_input_changes_nothing(tmp_path, arguments, message):
    out = tmp_path / "study"
    write_study(out, 1, 32, seed=3)
    before = contents(out)
    with pytest.raises(InputError, match=message) as caught:
        write_study(out, *arguments)
    assert "\n" not in str(caught.value)
    assert contents(out) == before


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="other files"):
        write_study(tmp_path, 1, 32, seed=0)
    with pytest.raises(InputError, match="is a file"):
        write_study(tmp_path / "letter.txt", 1, 32, seed=0)
    assert contents(tmp_path) == {"letter.txt": b"dear"}


def test_without_nilearn_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nilearn.datasets", None)
    load_atlas.cache_clear()
    with pytest.raises(InputError, match="pip install"):
        write_study(tmp_path / "study", 1, 32, seed=0)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("correlation_mm", [2.0, 12.0])
def test_noise_has_unit_variance_and_the_asked_for_smoothness(correlation_mm):
    field = smooth_noise((64, 64, 64), correlation_mm, 1.0, np.random.default_rng(0))
    assert field.std() == pytest.approx(1, abs=0.1)
    neighbours = np.corrcoef(field[:-1].ravel(), field[1:].ravel())[0, 1]
    far = np.corrcoef(field[:-36].ravel(), field[36:].ravel())[0, 1]
    assert neighbours > 0.5
    assert abs(far) < 0.2


def test_even_uniforms_are_the_same_for_any_count_and_differ_by_seed():
    points = np.array([even_uniforms(3, index, 3) for index in range(60)])
    assert points.min() >= 0
    assert points.max() < 1
    for axis in points.T:
        assert np.abs(np.sort(axis) - (np.arange(60) + 0.5) / 60).max() < 0.06
    assert not np.allclose(points[0], even_uniforms(4, 0, 3))


def test_auc_counts_pairs():
    rng = np.random.default_rng(0)
    inside, outside = rng.integers(0, 9, 40).astype(np.int16), rng.integers(2, 12, 50).astype(np.int16)
    pairs = (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)
    assert auc(inside, outside) == pytest.approx(pairs.mean())
    assert np.isnan(auc(inside[:0], outside))


def test_figures_of_a_case_made_by_hand():
    labels = np.zeros((10, 10, 10), np.int16)
    labels[:2], labels[2:5] = 1, 2
    bright = (1 + 9 * (labels > 0)).astype(np.int16)
    flat = np.ones_like(labels)
    case = BrainCase({"t1": flat, "t1c": flat, "flair": bright, "t2": bright}, labels, np.diag([-2.0, -2, 2, 1]), True)
    figures = case_figures(case)
    assert figures["NCR/NET, ml"] == pytest.approx(1.6)
    assert figures["ED, ml"] == pytest.approx(2.4)
    assert (figures["AUC of WT on flair"], figures["AUC of WT on t1"]) == (1.0, 0.5)
    assert np.isnan(figures["AUC of ET on t1c"])
