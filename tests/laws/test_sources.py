"""Laws that every layout on disk keeps; each runs on every source that is found."""

from pathlib import Path

import pytest

from passion.data.sources import SOURCES
from passion.data.study import Study


@pytest.fixture(params=SOURCES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_folder_without_cases_is_of_no_layout(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "folder").mkdir()
    assert SOURCES[name].read(tmp_path) is None


def test_its_study_makes_sense(name: str) -> None:
    study = SOURCES[name].STUDY
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
    study = SOURCES[name].STUDY
    assert Study.from_dict(study.to_dict()) == study
