"""Laws that every layout on disk keeps; each runs on every source that is found."""

from pathlib import Path

import numpy as np
import pytest
from layouts import AFFINE, LAYOUTS, draw_cases

from passion.data.sources import SOURCES, read_study
from passion.data.study import Study
from passion.data.volumes import read_case
from passion.errors import InputError

PUBLIC = [source.STUDY for source in SOURCES.values() if source.STUDY is not None]


@pytest.fixture(params=SOURCES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_folder_without_cases_is_of_no_layout(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "folder").mkdir()
    assert SOURCES[name].read(tmp_path) is None
    assert SOURCES[name].read(tmp_path / "notes.txt") is None
    with pytest.raises(InputError, match=f"notes.txt: holds no case of layout {name}"):
        read_study(tmp_path / "notes.txt", name)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_written_is_read(name: str, seed: int, tmp_path: Path) -> None:
    """Names, modalities, absences, labels, voxels and places; whether the layout is named or found out."""
    layout = LAYOUTS[name]
    cases = draw_cases(layout, np.random.default_rng(seed))
    raw = layout.write(tmp_path, layout.study, cases)
    study, found = read_study(raw)
    assert read_study(raw, name) == (study, found)
    assert study == layout.study
    assert [case.name for case in found] == sorted(cases)
    for case in found:
        written = cases[case.name]
        read = read_case(case, study)
        assert set(read.images) == set(written.images)
        for modality, volume in read.images.items():
            np.testing.assert_array_equal(volume.voxels, written.images[modality])
            np.testing.assert_array_equal(volume.affine, AFFINE)
        assert (read.labels is None) == (written.labels is None)
        if read.labels is not None:
            np.testing.assert_array_equal(study.codes[read.labels], written.labels)


def test_no_other_layout_reads_it(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    raw = layout.write(tmp_path, layout.study, draw_cases(layout, np.random.default_rng(0)))
    assert [other for other, source in SOURCES.items() if source.read(raw) is not None] == [name]


def test_every_layout_is_written_here() -> None:
    assert set(LAYOUTS) == set(SOURCES)


@pytest.mark.parametrize("study", PUBLIC, ids=lambda study: study.name)
def test_a_public_study_makes_sense(study: Study) -> None:
    codes = list(study.classes.values())
    assert codes[0] == 0
    assert len(set(codes)) == len(codes)
    assert len(set(study.modalities)) == len(study.modalities) >= 2
    assert len(study.spacing_mm) == 3
    assert study.spatial_dims in (2, 3)
    for region in study.regions:
        indices = study.region_classes(region)
        assert indices
        assert 0 not in indices


def test_its_study_survives_json(name: str) -> None:
    study = LAYOUTS[name].study
    assert Study.from_dict(study.to_dict()) == study
