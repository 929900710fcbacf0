"""Laws that every layout on disk keeps; each runs on every source that is found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from layouts import AFFINE, COMPLETE, STUDIES, Cases, draw_cases, write

from passion.data.conversion import convert
from passion.data.sources import SOURCES, read_study
from passion.data.sources.description import described_study, description_of
from passion.data.study import Study
from passion.data.volumes import read_case
from passion.errors import InputError

PUBLIC = [source.STUDY for source in SOURCES.values() if source.STUDY is not None]
GLIOMAS = {"brats", "brats2023"}


@pytest.fixture(params=SOURCES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def written(name: str, root: Path, seed: int = 0, complete: bool = False) -> tuple[Path, Cases]:
    cases = draw_cases(STUDIES[name], np.random.default_rng(seed), complete or name in COMPLETE)
    return write(name, root, STUDIES[name], cases), cases


def as_read(study: Study, layout: str) -> Study:
    """What a study is called after it was written in a layout."""
    numbered = replace(study, classes={name: code for code, name in enumerate(study.classes)})
    return SOURCES[layout].STUDY or (numbered if layout == "nnunet" else study)


def check(root: Path, layout: str, origin: Study, cases: Cases) -> None:
    """Names, modalities, absences, classes, voxels and places; whether the layout is named or found out."""
    study, found = read_study(root)
    assert read_study(root, layout) == (study, found)
    assert study == as_read(origin, layout)
    assert [case.name for case in found] == sorted(cases)
    for case in found:
        expected = cases[case.name]
        read = read_case(case, study)
        assert set(read.images) == set(expected.images)
        for modality, volume in read.images.items():
            np.testing.assert_array_equal(volume.voxels, expected.images[modality])
            np.testing.assert_array_equal(volume.affine, AFFINE)
        assert (read.labels is None) == (expected.labels is None)
        if read.labels is not None:
            np.testing.assert_array_equal(origin.codes[read.labels], expected.labels)


def test_a_folder_without_cases_is_of_no_layout(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "folder").mkdir()
    assert SOURCES[name].read(tmp_path) is None
    assert SOURCES[name].read(tmp_path / "notes.txt") is None
    with pytest.raises(InputError, match=f"notes.txt: holds no case of layout {name}"):
        read_study(tmp_path / "notes.txt", name)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_written_is_read(name: str, seed: int, tmp_path: Path) -> None:
    root, cases = written(name, tmp_path / "raw", seed)
    check(root, name, STUDIES[name], cases)


@pytest.mark.parametrize("other", SOURCES)
def test_a_study_is_the_same_in_another_layout(name: str, other: str, tmp_path: Path) -> None:
    root, cases = written(name, tmp_path / "raw", complete=other in COMPLETE)
    study, found = read_study(root)
    if SOURCES[other].STUDY is not None and name != other and {name, other} != GLIOMAS:
        with pytest.raises(InputError, match="choose another layout"):
            convert(study, found, SOURCES[other], tmp_path / "out")
        assert not list(tmp_path.glob("*out*"))
        return
    convert(study, found, SOURCES[other], tmp_path / "out")
    check(tmp_path / "out", other, STUDIES[name], cases)


def test_no_other_layout_reads_it(name: str, tmp_path: Path) -> None:
    root, _ = written(name, tmp_path / "raw")
    assert [other for other, source in SOURCES.items() if source.read(root) is not None] == [name]


def test_what_other_programs_leave_behind_is_no_part_of_it(name: str, tmp_path: Path) -> None:
    """Thumbnails, resource forks beside every file, as archives made on a Mac bring them, and their own folder."""
    root, _ = written(name, tmp_path / "raw")
    before = read_study(root)
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            for junk in (".DS_Store", "Thumbs.db", "desktop.ini"):
                (path / junk).write_bytes(b"\0")
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        double = root / "__MACOSX" / path.relative_to(root.parent)
        double.parent.mkdir(parents=True, exist_ok=True)
        double.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    assert read_study(root) == before


def test_a_folder_too_high_is_told_where_the_cases_are(name: str, tmp_path: Path) -> None:
    root, _ = written(name, tmp_path / "archive" / "MICCAI" / "raw")
    with pytest.raises(InputError, match=rf"archive: holds no case itself, but {root} does; give that folder$"):
        read_study(tmp_path / "archive")


def test_every_layout_has_a_study_here() -> None:
    assert set(STUDIES) == set(SOURCES)


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


def test_its_study_survives_json_and_words(name: str) -> None:
    study = STUDIES[name]
    assert Study.from_dict(study.to_dict()) == study
    assert described_study(description_of(study), Path("study.yaml")) == study
