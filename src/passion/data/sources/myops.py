"""MyoPS2020's layout: `train25/CASE_{C0,DE,T2}.nii.gz`, `train25_myops_gd/CASE_gd.nii.gz`, `test20/` likewise."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from passion.data.sources.contract import Source, case_of, nifti_files
from passion.data.sources.plan import EXTENSIONS, Piece, Plan, pieces_of, recoding_into
from passion.data.study import Case, Region, Study
from passion.reading import check_unique

PIXEL_MM = 0.75
"""In-plane spacing that slices are brought to: the middle of what MyoPS2020 has, 0.73 to 0.76 mm."""

MYOPS2020 = Study(
    name="MyoPS2020",
    modalities=("bssfp", "lge", "t2"),
    classes={"background": 0, "myocardium": 200, "LV": 500, "RV": 600, "edema": 1220, "scar": 2221},
    regions={
        "LVB": Region(("LV",)),
        "RVB": Region(("RV",)),
        "MYO": Region(("myocardium", "edema", "scar")),
        "edema": Region(("edema",), averaged=False),
        "scar": Region(("scar",), averaged=False),
    },
    spatial_dims=2,
    spacing_mm=(PIXEL_MM, PIXEL_MM, None),
)

SUFFIXES = {"bssfp": "C0", "lge": "DE", "t2": "T2"}
"""What the file name of each modality ends in."""

LABEL_SUFFIX = "gd"

IMAGE_FOLDERS = ("train25", "test20")


class MyoPS(Source):
    """See `Source`."""

    STUDY = MYOPS2020
    LAYOUT = "MyoPS2020, train25/CASE_{C0,DE,T2}.nii.gz, train25_myops_gd/CASE_gd.nii.gz"

    @staticmethod
    def read(root: Path) -> tuple[Study, list[Case]] | None:
        """Every name that a modality or a label file in one of the folders begins with is a case."""
        cases = []
        for folder in (root / name for name in IMAGE_FOLDERS):
            labels = label_folder(folder)
            for name in _names(folder, SUFFIXES.values()) | _names(labels, [LABEL_SUFFIX]):
                images = {modality: nifti_files(folder, f"{name}_{suffix}") for modality, suffix in SUFFIXES.items()}
                cases.append(case_of(name, images, nifti_files(labels, f"{name}_{LABEL_SUFFIX}")))
        check_unique([case.name for case in cases], root)
        return (MYOPS2020, sorted(cases, key=lambda case: case.name)) if cases else None

    @staticmethod
    def plan(study: Study, cases: Sequence[Case]) -> Plan:
        """Cases without labels are those of the test set."""
        codes = recoding_into(study, MYOPS2020)
        pieces: list[Piece] = []
        for case in cases:
            folder = Path(IMAGE_FOLDERS[case.target is None])
            places = {modality: folder / f"{case.name}_{suffix}" for modality, suffix in SUFFIXES.items()}
            pieces += pieces_of(case, places, label_folder(folder) / f"{case.name}_{LABEL_SUFFIX}", codes)
        return Plan(pieces)


def label_folder(images: Path) -> Path:
    """Where the labels of the cases in folder `images` are."""
    return images.with_name(f"{images.name}_myops_gd")


def _names(folder: Path, suffixes: Iterable[str]) -> set[str]:
    endings = tuple(f"_{suffix}{extension}" for suffix in suffixes for extension in EXTENSIONS)
    files = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {
        name[: -len(ending)]
        for name in files
        for ending in endings
        if name.endswith(ending) and not name.startswith(".")
    }
