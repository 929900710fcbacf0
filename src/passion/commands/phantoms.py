"""Commands that make studies with known truth."""

from pathlib import Path
from typing import Literal

from passion.errors import say

Size = Literal["full"] | int


def phantom_brain(out: Path, *, cases: int = 60, size: Size = 80, seed: int = 0) -> None:
    """Write a brain-tumour study with known truth, in BraTS2020's layout.

    Args:
        out: folder of the study; a study that was begun there with the same options is continued.
        cases: how many.
        size: voxels along each axis (the brain is the same: fewer are larger), or full: 240 x 240 x 155 at 1 mm.
        seed: of everything; the same seed gives the same bytes.
    """
    from passion.data.phantom.brain import write_study
    from passion.parallel import track

    write_study(out, cases, size, seed, lambda numbers: track(numbers, cases, "Writing phantoms"))
    say(f"{out}: {cases} cases")


def phantom_heart(out: Path, *, cases: int = 25, seed: int = 0) -> None:
    """Write a study of hearts with scar and edema and known truth, in MyoPS2020's layout.

    Args:
        out: folder of the study; a study that was begun there with the same options is continued.
        cases: how many.
        seed: of everything; the same seed gives the same bytes.
    """
    from passion.data.phantom.heart import write_study
    from passion.parallel import track

    write_study(out, cases, seed, lambda numbers: track(numbers, cases, "Writing phantoms"))
    say(f"{out}: {cases} cases")
