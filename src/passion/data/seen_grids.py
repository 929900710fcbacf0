"""Which grids a network was trained on, so that a case on others does not go unnoticed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from passion import run_files
from passion.data.resampling import Grid
from passion.errors import InputError
from passion.files import write_json
from passion.reading import read_json
from passion.typed import build

FACTOR = 1.5
"""By which voxels may be smaller or larger than all that were seen."""


@dataclass(frozen=True)
class SeenGrids:
    """What the training cases' grids were like, along the axes that networks see: of slices the first two.

    Args:
        orientations: the sides that these axes run to, each once, sorted.
        least_mm: smallest spacing along each axis.
        most_mm: largest.
    """

    orientations: tuple[str, ...]
    least_mm: tuple[float, ...]
    most_mm: tuple[float, ...]

    @classmethod
    def of(cls, grids: Sequence[Grid], spatial_dims: int) -> "SeenGrids":
        """What several grids have in common.

        >>> grids = [Grid((4, 4, 4), np.eye(4)), Grid((4, 4, 4), np.diag([1, 1, 3, 1]))]
        >>> SeenGrids.of(grids, spatial_dims=3)
        SeenGrids(orientations=('RAS',), least_mm=(1.0, 1.0, 1.0), most_mm=(1.0, 1.0, 3.0))
        >>> SeenGrids.of(grids, spatial_dims=2)
        SeenGrids(orientations=('RA',), least_mm=(1.0, 1.0), most_mm=(1.0, 1.0))
        """
        spacings = np.round([grid.spacing_mm[:spatial_dims] for grid in grids], 4)
        least, most = spacings.min(axis=0).tolist(), spacings.max(axis=0).tolist()
        return cls(tuple(sorted({grid.orientation[:spatial_dims] for grid in grids})), tuple(least), tuple(most))

    @classmethod
    def from_dict(cls, content: Any) -> "SeenGrids":
        """What `to_dict` gave.

        Raises:
            InputError: it is something else.
        """
        try:
            return build(cls, content)
        except InputError as error:
            raise InputError("does not describe grids") from error

    def to_dict(self) -> dict[str, Any]:
        """A form that JSON can hold."""
        return asdict(self)

    def remarks(self, grid: Grid) -> list[str]:
        """What of a case's grid, as networks would see it, is unlike all that were seen.

        >>> SeenGrids(("LPS",), (1, 1, 1), (1, 1, 3)).remarks(Grid((4, 4, 4), np.diag([1, 1, 5, 1])))[1]
        'its voxels are 1 x 1 x 5 mm, those of the training cases 1 x 1 x 1 to 1 x 1 x 3'
        """
        found = []
        dims = len(self.least_mm)
        if grid.orientation[:dims] not in self.orientations:
            seen = " or ".join(self.orientations)
            found.append(f"its axes run to {grid.orientation[:dims]}, those of the training cases to {seen}")
        spacing = np.array(grid.spacing_mm[:dims])
        if (spacing * FACTOR < self.least_mm).any() or (spacing > np.multiply(self.most_mm, FACTOR)).any():
            own, least, most = (
                " x ".join(f"{step:.3g}" for step in one) for one in (spacing, self.least_mm, self.most_mm)
            )
            found.append(f"its voxels are {own} mm, those of the training cases {least} to {most}")
        return found


def write_seen_grids(folder: Path, grids: SeenGrids) -> None:
    """Into a run folder."""
    write_json(folder / run_files.GRIDS, grids.to_dict())


def read_seen_grids(run: Path) -> SeenGrids | None:
    """Of a run folder; None where an earlier version wrote it.

    Raises:
        InputError: they cannot be read.
    """
    path = run / run_files.GRIDS
    if not path.exists():
        return None
    remedy = "repeat the run, or remove this file, which is there for remarks alone"
    content = read_json(path, remedy)
    try:
        return SeenGrids.from_dict(content)
    except InputError as error:
        raise InputError(f"{path}: {error}; {remedy}") from error
