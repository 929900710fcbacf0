"""The layout of BraTS since 2023: a folder a case, `NAME/NAME-{t1n,t1c,t2f,t2w,seg}.nii.gz`."""

from collections.abc import Sequence
from pathlib import Path

from passion.data.sources.contract import Source, cases_in, plan_in_folders, subfolders
from passion.data.sources.plan import Plan
from passion.data.study import Case, Region, Study

BRATS2023 = Study(
    name="BraTS2023",
    modalities=("t1", "t1c", "flair", "t2"),
    classes={"background": 0, "NCR": 1, "ED": 2, "ET": 3},
    regions={
        "WT": Region(("NCR", "ED", "ET")),
        "TC": Region(("NCR", "ET")),
        "ET": Region(("ET",)),
    },
)

SUFFIXES = {"t1": "t1n", "t1c": "t1c", "flair": "t2f", "t2": "t2w"}
"""What the file name of each modality ends in."""


class Brats2023(Source):
    """See `Source`."""

    STUDY = BRATS2023
    LAYOUT = "BraTS since 2023, NAME/NAME-{t1n,t1c,t2f,t2w,seg}.nii.gz"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """See `cases_in`."""
        cases = cases_in(subfolders(root), "-", SUFFIXES)
        return (BRATS2023, cases) if cases else None

    @staticmethod
    def plan(study: Study, cases: Sequence[Case]) -> Plan:
        """See `plan_in_folders`."""
        return plan_in_folders(cases, study, BRATS2023, "-", SUFFIXES)
