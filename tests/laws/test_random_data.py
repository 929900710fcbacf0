"""Laws of presence matrices, splits, crops and prepared cases, for whatever hypothesis thinks of."""

import tempfile
from pathlib import Path

import nibabel
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from passion.data.boxes import Box, bounding_box, copy_overlap
from passion.data.loading import draw_window
from passion.data.prepare import normalise, prepare
from passion.data.split import PARTS, draw_folds, draw_split, read_split, write_split
from passion.data.store import PreparedStudy
from passion.data.study import Case, Region, Study
from passion.errors import InputError
from passion.missingness import Presence, draw_presence, presence_of, read_presence

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
slow = settings(quick, max_examples=15)

NAMES = st.lists(
    st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/\\"), min_size=1, max_size=12)
    .filter(lambda name: not name.startswith((".", "HG_", "LG_")))
    .filter(lambda name: "_slice_" not in name),
    min_size=3,
    max_size=12,
    unique=True,
)
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = st.tuples(*[st.integers(1, 7)] * 3)
VOXELS = arrays.arrays(
    np.float32, SHAPES, elements=st.floats(-1000, 1000, width=16) | st.just(0.0), fill=st.just(0.0)
).filter(lambda voxels: len(np.unique(voxels[voxels != 0])) > 1)


@st.composite
def rates(draw: st.DrawFn) -> np.ndarray:
    """Missing rates of two to five modalities that leave every case one at least."""
    found = np.array(draw(st.lists(st.floats(0, 0.95), min_size=2, max_size=5)))
    assume((1 - found).sum() >= 1)
    return found


@st.composite
def matrices(draw: st.DrawFn) -> Presence:
    """Presence matrices that can be trained with."""
    cases = draw(NAMES)
    modalities = tuple(f"m{number}" for number in range(draw(st.integers(1, 5))))
    matrix = draw(arrays.arrays(bool, (len(cases), len(modalities))))
    assume(matrix.any(0).all() and matrix.any(1).all())
    return Presence(tuple(cases), modalities, matrix)


@quick
@given(rates(), st.integers(2, 60), SEEDS)
def test_drawn_presence_has_the_rates_and_no_empty_row(asked: np.ndarray, cases: int, seed: int) -> None:
    modalities = [f"m{number}" for number in range(len(asked))]
    own = presence_of({str(case): modalities for case in range(cases)}, modalities)
    try:
        drawn = draw_presence(own, asked, seed).matrix
    except InputError:
        assert cases < 30  # too few for the rates
        return
    assert drawn.any(1).all()
    assert np.abs((~drawn).sum(0) - asked * cases).max() <= 0.5 + 1e-6


@quick
@given(matrices(), SEEDS)
def test_what_a_case_lacks_is_never_drawn(own: Presence, seed: int) -> None:
    asked = np.full(len(own.modalities), 0.3 if len(own.modalities) > 1 else 0.0)
    try:
        drawn = draw_presence(own, asked, seed)
    except InputError:
        return
    assert not (drawn.matrix & ~own.matrix).any()
    assert drawn.matrix.any(1).all()


@quick
@given(matrices())
def test_presence_is_read_as_it_was_written(presence: Presence) -> None:
    with tempfile.TemporaryDirectory() as folder:
        presence.write(Path(folder, "presence.csv"))
        read = read_presence(Path(folder, "presence.csv"), presence.cases, presence.modalities)
    assert (read.cases, read.modalities) == (presence.cases, presence.modalities)
    np.testing.assert_array_equal(read.matrix, presence.matrix)


@quick
@given(NAMES, SEEDS)
def test_a_split_is_a_partition_and_is_read_as_it_was_written(names: list[str], seed: int) -> None:
    split = draw_split(names, seed)
    assert sorted(name for part in PARTS for name in split[part]) == sorted(names)
    assert all(split[part] for part in PARTS)
    with tempfile.TemporaryDirectory() as folder:
        write_split(Path(folder, "split.csv"), split)
        assert read_split(Path(folder, "split.csv"), names) == split
    folds = draw_folds(names, seed, 3)
    assert sorted(name for fold in folds for name in fold["test"]) == sorted(names)


@quick
@given(VOXELS)
def test_normalising_keeps_all_foreground_and_gives_it_mean_0_and_variance_1(voxels: np.ndarray) -> None:
    normal, box = normalise(voxels)
    outside = voxels.copy()
    outside[box.slices] = 0
    assert not outside.any()
    for axis in range(3):  # no smaller box would do
        for side in (0, -1):
            assert np.take(voxels[box.slices], side, axis).any()
    foreground = voxels[box.slices] != 0
    assert not normal[~foreground].any()
    values = normal[foreground].astype(np.float64)
    np.testing.assert_allclose([values.mean(), values.std()], [0, 1], atol=1e-3)
    ranks = voxels[box.slices][foreground].argsort(kind="stable")
    assert (np.diff(values[ranks]) >= 0).all()


@quick
@given(VOXELS, st.sampled_from([0.25, 2.0, 64.0]), st.tuples(*[st.integers(0, 3)] * 3))
def test_neither_scale_nor_empty_space_around_matter(voxels: np.ndarray, scale: float, before: tuple[int, ...]) -> None:
    normal, box = normalise(voxels)
    scaled, same = normalise(voxels * np.float32(scale))
    assert same == box
    np.testing.assert_allclose(scaled, normal, atol=1e-5)
    padded, moved = normalise(np.pad(voxels, [(extent, 1) for extent in before]))
    assert moved.start == tuple(np.add(box.start, before))
    np.testing.assert_array_equal(padded, normal)


@quick
@given(arrays.arrays(bool, SHAPES))
def test_a_bounding_box_is_that_of_the_true_voxels(mask: np.ndarray) -> None:
    places = np.argwhere(mask)
    box = bounding_box(mask)
    if len(places):
        assert box == Box(tuple(places.min(0)), tuple(places.max(0) + 1))
    else:
        assert box.shape == (0, 0, 0)


@quick
@given(SHAPES, st.data(), SEEDS)
def test_a_window_is_a_part_of_the_whole(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    """Cropping to a box and reading a window of it is reading the window of what is zero outside of the box."""
    random = np.random.default_rng(seed)
    starts = [data.draw(st.integers(0, extent - 1)) for extent in shape]
    stops = [data.draw(st.integers(start + 1, extent)) for start, extent in zip(starts, shape, strict=True)]
    box = Box(tuple(starts), tuple(stops))
    size = data.draw(SHAPES)
    window = draw_window(box, size, random)
    assert window.shape == size
    for low, high, begin, end in zip(window.start, window.stop, box.start, box.stop, strict=True):
        assert (begin <= low and high <= end) or (low <= begin and end <= high)
    whole = np.zeros(shape, dtype=np.float32)
    whole[box.slices] = random.normal(size=box.shape)
    out = np.zeros(size, dtype=np.float32)
    copy_overlap(whole[box.slices], box, out, window)
    here = tuple(slice(start + 8, stop + 8) for start, stop in zip(window.start, window.stop, strict=True))
    np.testing.assert_array_equal(out, np.pad(whole, 8)[here])


@slow
@given(st.lists(VOXELS, min_size=1, max_size=3), st.sets(st.integers(1, 300), min_size=1, max_size=4), SEEDS)
def test_a_prepared_case_is_read_as_it_was_stored(images: list[np.ndarray], codes: set[int], seed: int) -> None:
    """Whatever shapes, modalities and label sets there are."""
    random = np.random.default_rng(seed)
    classes = {"background": 0, **{f"label {code}": code for code in sorted(codes)}}
    modalities = tuple(f"m{number}" for number in range(len(images)))
    study = Study("Random", modalities, classes, {"all": Region(tuple(list(classes)[1:]))})
    shape = images[0].shape
    volumes = {name: random.permutation(images[0].ravel()).reshape(shape) for name in modalities}
    labels = random.choice(study.codes, size=shape).astype(np.int16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key, voxels in {**volumes, "label": labels}.items():
            nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{key}.nii.gz")
        files = {modality: folder / f"{modality}.nii.gz" for modality in modalities}
        prepare(study, [Case("case", files, folder / "label.nii.gz")], folder / "prepared", 0)
        prepared = PreparedStudy.open(folder / "prepared")
        assert prepared.study == study
        case = prepared.case("case")
        for modality, voxels in volumes.items():
            expected, box = normalise(voxels)
            assert case.boxes[modality] == box
            np.testing.assert_array_equal(case.read_image(modality, Box.whole(shape))[box.slices], expected)
        np.testing.assert_array_equal(study.codes[case.read_target(Box.whole(shape))], labels)
