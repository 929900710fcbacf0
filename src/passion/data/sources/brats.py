"""The layout of BraTS2018 to 2021: a folder a case, `NAME/NAME_{t1,t1ce,flair,t2,seg}.nii.gz`.

Until 2019 the folders are in two others, HGG and LGG.
"""

from collections.abc import Sequence
from pathlib import Path

from passion.data.sources.contract import Source, cases_in, plan_in_folders, subfolders
from passion.data.sources.plan import Plan
from passion.data.study import Case, Region, Study
from passion.reading import check_unique

BRATS2020 = Study(
    name="BraTS2020",
    modalities=("t1", "t1c", "flair", "t2"),
    classes={"background": 0, "NCR/NET": 1, "ED": 2, "ET": 4},
    regions={
        "WT": Region(("NCR/NET", "ED", "ET")),
        "TC": Region(("NCR/NET", "ET")),
        "ET": Region(("ET",)),
    },
)

SUFFIXES = {"t1": "t1", "t1c": "t1ce", "flair": "flair", "t2": "t2"}
"""What the file name of each modality ends in."""

GRADES = ("HGG", "LGG")

LABELS_OF_CASE_355 = "W39_1998.09.19_Segm"
"""How the segmentation of BraTS20_Training_355 is named in the published study."""


class Brats(Source):
    """See `Source`."""

    STUDY = BRATS2020
    LAYOUT = "BraTS2018 to 2021, NAME/NAME_{t1,t1ce,flair,t2,seg}.nii.gz"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """See `cases_in`; folders may be in HGG and LGG."""
        folders = [folder for part in (root, *(root / grade for grade in GRADES)) for folder in subfolders(part)]
        cases = cases_in(folders, "_", SUFFIXES, LABELS_OF_CASE_355)
        check_unique([case.name for case in cases], root)
        return (BRATS2020, sorted(cases, key=lambda case: case.name)) if cases else None

    @staticmethod
    def plan(study: Study, cases: Sequence[Case]) -> Plan:
        """Folders of cases, none of grades."""
        return plan_in_folders(cases, study, BRATS2020, "_", SUFFIXES)
