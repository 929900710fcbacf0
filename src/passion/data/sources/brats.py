"""BraTS2020's layout: a folder a case, `NAME/NAME_{t1,t1ce,flair,t2,seg}.nii.gz`."""

from pathlib import Path

from passion.data.sources.contract import Source, find_nifti
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


class Brats(Source):
    """See `Source`."""

    STUDY = BRATS2020
    LAYOUT = "BraTS2020: NAME/NAME_{t1,t1ce,flair,t2,seg}.nii.gz"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """Every folder below `root` whose name its files begin with is a case, also one without any modality."""
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        cases = [_case(folder) for folder in folders if any(folder.glob(f"{folder.name}_*.nii*"))]
        return (BRATS2020, cases) if cases else None


def _case(folder: Path) -> Case:
    images = {modality: find_nifti(folder, f"{folder.name}_{suffix}") for modality, suffix in SUFFIXES.items()}
    return Case(
        name=folder.name,
        images={modality: path for modality, path in images.items() if path is not None},
        target=find_nifti(folder, f"{folder.name}_seg"),
    )
