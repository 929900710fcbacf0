"""Which studies make no sense, wherever they are described."""

from dataclasses import replace

import pytest

from passion.data.sources.brats import BRATS2020
from passion.data.study import LARGEST_CODE, Study
from passion.errors import InputError

CLASSES = BRATS2020.classes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modalities": []}, "there is no modality; name at least one"),
        ({"modalities": ["t1", "out"]}, "modality 'out' cannot be called so; use letters, digits, _ and -"),
        ({"modalities": ["t1", "../x"]}, "modality '../x' cannot be called so"),
        ({"modalities": ["t1", "T1"]}, "modality 't1' is there twice; rename one"),
        ({"classes": {}}, "expected a background of code 0 and 1 to 255 others"),
        ({"classes": dict(reversed(CLASSES.items()))}, "expected a background of code 0 and 1 to 255 others"),
        ({"classes": {**CLASSES, "more": 4}}, "has code 4, and another class too; give each its own"),
        ({"classes": {**CLASSES, "more": -1}}, "class 'more' has code -1, expected a whole number from 0 to 32767"),
        ({"classes": {**CLASSES, "more": LARGEST_CODE + 1}}, "class 'more' has code 32768, expected a whole number"),
        ({"classes": {str(code): code for code in range(257)}}, "expected a background of code 0 and 1 to 255 others"),
        ({"regions": {}}, "there is no region; make one of the classes NCR/NET, ED, ET"),
        ({"regions": {"all": {"classes": []}}}, r"region 'all' is made of \[\], expected some of the classes"),
        ({"regions": {"all": {"classes": ["ED"], "minimum_mm3": -5}}}, "minimum_mm3 -5, expected a volume, 0 or more"),
        ({"regions": {"all": {"classes": ["ED"], "minimum_mm3": float("nan")}}}, "minimum_mm3 nan, expected a volume"),
        ({"spatial_dims": 1}, "spatial_dims is 1, expected 2 for slices or 3 for volumes"),
        ({"spacing_mm": [0, -1, float("inf")]}, r"spacing_mm is \[0.0, -1.0, inf\], expected three numbers of mm"),
        ({"spacing_mm": [1, 1]}, r"spacing_mm is \[1.0, 1.0\], expected three numbers of mm"),
        ({"resample": ["pet"]}, r"resample is \['pet'\], expected some of t1, t1c, flair, t2"),
        ({"orientation": "XYZ"}, "orientation is 'XYZ', expected three sides, one each of L or R, P or A, I or S"),
    ],
    ids=str,
)
def test_a_study_without_sense_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Study.from_dict({**BRATS2020.to_dict(), **change})


def test_a_study_on_grids_of_its_own_makes_sense() -> None:
    study = replace(BRATS2020, resample=("t1c",), orientation="LPS", spacing_mm=(1.0, None, 0.5))
    assert Study.from_dict(study.to_dict()) == study
