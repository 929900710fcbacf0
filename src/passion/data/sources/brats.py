"""BraTS2020's layout: a folder a case, `NAME/NAME_{t1,t1ce,flair,t2,seg}.nii.gz`."""

from pathlib import Path

from passion.data.study import Case, Region, Study

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
