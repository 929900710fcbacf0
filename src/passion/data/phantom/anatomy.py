"""Healthy brains: the MNI152 tissue maps, bent to a new shape for each case.

Anatomy is that of the ICBM 2009a nonlinear symmetric template (Fonov et al. 2011, NeuroImage 54(1)), as
packaged by nilearn. Coordinates of the atlas are voxel indices of its cropped maps, which are millimetres;
axes point to the right, to the front and upwards.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from passion.data.phantom.noise import Field, smooth_noise
from passion.errors import InputError

Box = tuple[slice, slice, slice]

FULL_SHAPE = (240, 240, 155)
SMALLEST_SIZE = 32
FIELD_OF_VIEW_MM = 180.0
"""Width of a small grid, before its voxel size is rounded to a quarter of a millimetre."""
BRAIN_EXTENT_MM = (160.0, 196.0, 176.0)
"""No case's brain is wider: what lies farther out is left empty without computing it."""

MAP_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
MIDLINE_VOXEL = 98
"""First voxel index of the uncropped maps at which x = 0 mm."""
VENTRICLE_DEPTH_MM = 25.0
"""CSF that lies deeper under the skull belongs to the ventricles."""
VENTRICLE_REACH_MM = 12
"""Distances from the ventricles are not followed farther than this."""

ROTATION_SD_DEGREES = 4.0
SCALE_MEAN, SCALE_SD, AXIS_SCALE_SD = 1.105, 0.03, 0.025
"""Atlas millimetres a case's millimetre: the template is larger than most brains."""
WARPS = ((35.0, 2.0, 3.5), (14.0, 0.6, 1.2))
"""Correlation length and range of the amplitude of each displacement field, mm."""
STRIP_MM = (0.3, 2.5)
"""How much of the brain's surface skull stripping takes away."""

# Where tumours start, in mm around the centre of the maps (x to the right, y to the front, z upwards).
SEED_WHITE_MATTER = 0.75
SEED_HEIGHT_MM = (-14.0, 45.0)
BRAINSTEM_HALF_WIDTH_MM, BRAINSTEM_TOP_MM = 16.0, 8.0
CEREBELLUM_FRONT_MM, CEREBELLUM_TOP_MM = -30.0, -4.0


@dataclass(frozen=True)
class Grid:
    """The voxels of a study: counts (X, Y, Z) and their edge in mm."""

    shape: tuple[int, int, int]
    voxel_mm: float

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel index to mm as in BraTS, shape (4, 4): x and y run backwards from (0, (Y-1) voxel_mm, 0)."""
        affine = np.diag([-self.voxel_mm, -self.voxel_mm, self.voxel_mm, 1.0])
        affine[1, 3] = (self.shape[1] - 1) * self.voxel_mm
        return affine

    def brain_box(self) -> Box:
        """The voxels in the middle that can hold brain, a box with the same centre as the grid."""
        box = []
        for count, extent_mm in zip(self.shape, BRAIN_EXTENT_MM, strict=True):
            margin = max(int((count - extent_mm / self.voxel_mm) / 2), 0)
            box.append(slice(margin, count - margin))
        return box[0], box[1], box[2]


def grid_of(size: str | int) -> Grid:
    """The grid called `size`: "full" is BraTS's, a number n is a cube of n voxels an edge around the brain.

    Raises:
        InputError: neither "full" nor a whole number of at least 32.

    >>> grid_of("full"), grid_of(80).voxel_mm, grid_of(64).voxel_mm
    (Grid(shape=(240, 240, 155), voxel_mm=1.0), 2.25, 2.75)
    """
    if size == "full":
        return Grid(FULL_SHAPE, 1.0)
    try:
        count = int(size)
    except ValueError:
        count = 0
    if count < SMALLEST_SIZE:
        raise InputError(f"phantom: size {size!r} is neither 'full' nor a number of voxels from {SMALLEST_SIZE} on")
    quarters = round(4 * FIELD_OF_VIEW_MM / count)
    return Grid((count, count, count), max(quarters / 4, 172.0 / count))


@dataclass(frozen=True)
class Atlas:
    """Maps of the template, all of one shape.

    Args:
        grey: part of grey matter, 0 to 1.
        white: part of white matter, 0 to 1.
        depth_mm: distance to the brain's surface; 0 outside.
        ventricle_mm: distance to the ventricles, where it is below `VENTRICLE_REACH_MM`.
        seeds: positions at which a tumour may start, shape (N, 3).
        midline: the x that parts the hemispheres.
    """

    grey: Field
    white: Field
    depth_mm: Field
    ventricle_mm: Field
    seeds: NDArray[np.int64]
    midline: float


@dataclass(frozen=True)
class Tissues:
    """One brain's tissues on its grid; grey, white and csf sum to 1 in the mask and to 0 outside."""

    mask: NDArray[np.bool_]
    grey: Field
    white: Field
    csf: Field
    ventricle_mm: Field
    right: NDArray[np.bool_]


@lru_cache(maxsize=2)
def load_atlas(voxel_mm: float) -> Atlas:
    """Read the template, smoothed so that it can be sampled every `voxel_mm`.

    Raises:
        InputError: nilearn, which brings the maps, is not installed.
    """
    template, grey, white = _read_maps()
    box = ndimage.find_objects((template > 0).astype(np.int8))[0]
    brain = ndimage.binary_opening(np.pad(template[box] > 0, 1))
    depth = ndimage.distance_transform_edt(ndimage.binary_fill_holes(brain))[1:-1, 1:-1, 1:-1]
    tissue = [np.where(depth > 0, values[box] / np.float32(255), np.float32(0)) for values in (grey, white)]
    seeds = _tumour_seeds(tissue[1])
    ventricle = _ventricle_distance(1 - tissue[0] - tissue[1], depth)
    if voxel_mm > 1.5:
        tissue = [ndimage.gaussian_filter(values, 0.42 * voxel_mm, truncate=2.5) for values in tissue]
    return Atlas(
        grey=tissue[0],
        white=tissue[1],
        depth_mm=depth.astype(np.float32),
        ventricle_mm=ventricle,
        seeds=seeds,
        midline=float(MIDLINE_VOXEL - box[0].start),
    )


def _read_maps() -> list[NDArray[np.uint8]]:
    try:
        import nilearn.datasets
    except ImportError as error:
        raise InputError("phantom: needs nilearn; pip install 'passion[phantom]'") from error
    folder = Path(nilearn.datasets.__file__).parent / "data"
    return [np.asarray(nib.load(folder / MAP_FILE.format(name)).dataobj) for name in ("t1", "gm", "wm")]


def _tumour_seeds(white: Field) -> NDArray[np.int64]:
    """Positions in the white matter of the cerebrum, shape (N, 3)."""
    seeds = np.argwhere(white > SEED_WHITE_MATTER)
    x, y, z = (seeds - (np.array(white.shape) - 1) / 2).T
    brainstem = (np.abs(x) < BRAINSTEM_HALF_WIDTH_MM) & (z < BRAINSTEM_TOP_MM)
    cerebellum = (y < CEREBELLUM_FRONT_MM) & (z < CEREBELLUM_TOP_MM)
    cerebrum = (z > SEED_HEIGHT_MM[0]) & (z < SEED_HEIGHT_MM[1]) & ~brainstem & ~cerebellum
    inside: NDArray[np.int64] = seeds[cerebrum]
    return inside


def _ventricle_distance(csf: Field, depth_mm: NDArray[np.float64]) -> Field:
    """Distance to the lateral ventricles in mm: the largest body of CSF deep in the brain."""
    bodies, _ = ndimage.label((csf > 0.5) & (depth_mm > VENTRICLE_DEPTH_MM))
    largest = int(np.bincount(bodies.ravel())[1:].argmax()) + 1
    found = ndimage.find_objects((bodies == largest).astype(np.int8))[0]
    near = tuple(slice(side.start - VENTRICLE_REACH_MM, side.stop + VENTRICLE_REACH_MM) for side in found)
    distance = np.full(csf.shape, VENTRICLE_REACH_MM, dtype=np.float32)
    distance[near] = np.minimum(ndimage.distance_transform_edt(bodies[near] != largest), VENTRICLE_REACH_MM)
    return distance


def centred_axes(shape: tuple[int, int, int], voxel_mm: float) -> list[Field]:
    """Position of each voxel in mm from the centre of the grid, one array an axis, ready to broadcast."""
    axes = []
    for axis, count in enumerate(shape):
        position = (np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)) * np.float32(voxel_mm)
        axes.append(position.reshape([-1 if other == axis else 1 for other in range(3)]))
    return axes


def draw_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Rotation by a small angle about each axis in turn, shape (3, 3)."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.normal(0, ROTATION_SD_DEGREES, 3))):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        rotation = rotation @ turn
    return rotation


def combine(matrix: NDArray[np.float64], axes: list[Field]) -> list[Field]:
    """The components of `matrix` times the vector field `axes`, which may be three arrays that broadcast."""
    weights = matrix.astype(np.float32)
    return [row[0] * axes[0] + row[1] * axes[1] + row[2] * axes[2] for row in weights]


def draw_coordinates(
    atlas: Atlas, rotation: NDArray[np.float64], grid: Grid, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Where each voxel of a new brain lies in the atlas, shape (3, X, Y, Z): affine, then smooth bends."""
    scale = rng.normal(SCALE_MEAN, SCALE_SD) * rng.normal(1.0, AXIS_SCALE_SD, 3)
    coordinates = np.stack(combine(rotation * scale, centred_axes(grid.shape, grid.voxel_mm)))
    for axis, count in enumerate(atlas.white.shape):
        coordinates[axis] += np.float32((count - 1) / 2)
        for correlation_mm, low_mm, high_mm in WARPS:
            amplitude = np.float32(rng.uniform(low_mm, high_mm))
            coordinates[axis] += amplitude * smooth_noise(grid.shape, correlation_mm, grid.voxel_mm, rng)
    return coordinates


def sample(values: Field, coordinates: NDArray[np.float32]) -> Field:
    """`values` of the atlas at `coordinates` (3, X, Y, Z), linearly interpolated; 0 outside."""
    sampled: Field = ndimage.map_coordinates(values, coordinates, order=1, mode="constant", prefilter=False)
    return sampled


def sample_tissues(atlas: Atlas, coordinates: NDArray[np.float32], mask: NDArray[np.bool_]) -> Tissues:
    """The tissues at `coordinates` (3, X, Y, Z) inside `mask`; what is neither grey nor white is CSF."""
    grey = sample(atlas.grey, coordinates) * mask
    white = sample(atlas.white, coordinates) * mask
    return Tissues(
        mask=mask,
        grey=grey,
        white=white,
        csf=np.clip(mask - grey - white, 0, 1),
        ventricle_mm=sample(atlas.ventricle_mm, coordinates),
        right=coordinates[0] > atlas.midline,
    )
