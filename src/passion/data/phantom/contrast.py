"""What the scanner shows: intensities of the tissues in each modality, and how the images are spoiled.

Intensities are in units of the scanner's gain. Their order follows clinical reading: CSF and fluid are dark
on T1 and bright on T2, FLAIR suppresses free fluid, contrast agent shows where the blood-brain barrier leaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from passion.data.phantom.anatomy import Grid, Tissues
from passion.data.phantom.noise import Field, rician, smooth_noise
from passion.data.phantom.tumour import Tumour

TISSUES = ("gm", "wm", "csf", "lesion", "ncr", "ed", "et")
"""Order of the tissue axis; `lesion` is white-matter disease that is no tumour."""

INTENSITIES: Mapping[str, tuple[float, ...]] = {
    "t1": (0.62, 0.85, 0.28, 0.74, 0.53, 0.62, 0.60),
    "t1c": (0.62, 0.83, 0.28, 0.73, 0.47, 0.60, 1.20),
    "flair": (0.66, 0.52, 0.20, 0.98, 0.68, 1.04, 0.80),
    "t2": (0.62, 0.45, 1.20, 0.78, 0.94, 0.88, 0.78),
}
LOW_GRADE_TUMOUR: Mapping[str, tuple[float, float, float]] = {
    "t1": (0.50, 0.66, 0.60),
    "t1c": (0.47, 0.60, 1.20),
    "flair": (0.86, 1.00, 0.86),
    "t2": (1.02, 0.86, 0.80),
}
"""`ncr`, `ed` and `et` of low-grade tumours, whose core is solid rather than necrotic."""
JITTER_SD = 0.05
"""Each tissue of each image is brighter or darker by this."""

FLUID: Mapping[str, float] = {"t1": -0.12, "t1c": -0.12, "flair": -0.20, "t2": 0.20}
"""How the intensity of the core changes where it is more fluid (one standard deviation)."""
VESSEL = 0.55
"""What contrast agent adds in blood vessels on T1c."""

LESION_CASES = 0.65
"""Share of the cases with white-matter lesions."""
CAP_MM = (0.5, 4.5)
"""Thickness of the bright caps around the ventricles."""
SPOT_THRESHOLD = (1.9, 3.0)
"""Noise above it is a small lesion: lower means more."""

BIAS = (0.04, 0.14)
BIAS_MM = 90.0
SLICE_MM: Mapping[str, tuple[float, ...]] = {
    "t1": (0, 0, 0, 3),
    "t1c": (0, 0, 0, 3),
    "flair": (0, 0, 3, 5),
    "t2": (0, 0, 3, 5),
}
"""Slice thickness before resampling, drawn evenly; 0: no thicker than the voxels."""
SLICE_AXES = (2, 2, 1)
NOISE_SD = (0.015, 0.045)
RESAMPLED_CASES, RESAMPLING_MM = 0.7, 0.45
GAMMA = (0.85, 1.15)
GAIN_MEDIAN, GAIN_LOG_SD = 400.0, 0.7
BRIGHTEST = 32000


@dataclass(frozen=True)
class Scene:
    """All that the images of one case share.

    Args:
        parts: part of each tissue in each voxel, shape (tissue, X, Y, Z), in the order of `TISSUES`.
        texture: what the tissues vary by, by name; standard normal fields.
        vessels: part of blood vessel in each voxel.
        high_grade: which intensities the tumour has.
    """

    parts: NDArray[np.float32]
    texture: Mapping[str, Field]
    vessels: Field
    high_grade: bool


def draw_scene(tissues: Tissues, tumour: Tumour, high_grade: bool, grid: Grid, rng: np.random.Generator) -> Scene:
    """Tissues, tumour and other lesions with soft borders, and their textures."""
    voxel = grid.voxel_mm
    texture = {
        "fluid": smooth_noise(grid.shape, 8.0, voxel, rng),
        "fine": smooth_noise(grid.shape, 2.2 * max(1.0, voxel), voxel, rng),
        "broad": smooth_noise(grid.shape, 22.0, voxel, rng),
    }
    soft_sd = max(0.45, 0.65 / voxel)
    ncr, ed, et = (
        ndimage.gaussian_filter(mask.astype(np.float32), soft_sd, truncate=2.5)
        for mask in (tumour.ncr, tumour.ed, tumour.et)
    )
    strength = np.clip(0.80 + 0.16 * smooth_noise(grid.shape, 10.0, voxel, rng), 0.35, 1.1)
    ed = ed * strength + 0.22 * tumour.infiltration * tissues.white
    healthy = np.clip(1 - ncr - ed - et, 0, 1)
    lesion = healthy * _draw_lesions(tissues, grid, rng)
    healthy -= lesion
    parts = [healthy * tissues.grey, healthy * tissues.white, healthy * tissues.csf, lesion, ncr, ed, et]
    return Scene(np.stack(parts).astype(np.float32), texture, _draw_vessels(tissues, grid, rng), high_grade)


def _draw_lesions(tissues: Tissues, grid: Grid, rng: np.random.Generator) -> Field:
    """White-matter disease that is not labelled: caps around the ventricles and scattered spots, 0 to 1."""
    diseased = rng.random() < LESION_CASES
    cap_mm, threshold = rng.uniform(*CAP_MM), rng.uniform(*SPOT_THRESHOLD)
    uneven = smooth_noise(grid.shape, 20.0, grid.voxel_mm, rng)
    spots = smooth_noise(grid.shape, 9.0, grid.voxel_mm, rng)
    if not diseased:
        return np.zeros(grid.shape, dtype=np.float32)
    cap = np.clip(cap_mm * (1 + 0.6 * uneven) - tissues.ventricle_mm + 1.0, 0, 1)
    spot = np.clip(3 * (spots - np.float32(threshold)), 0, 1) * (tissues.white > 0.6)
    lesion: Field = np.maximum(cap, spot) * tissues.white
    return lesion.astype(np.float32)


def _draw_vessels(tissues: Tissues, grid: Grid, rng: np.random.Generator) -> Field:
    """Thin curves in the CSF, where the zero surfaces of two random fields meet."""
    first = smooth_noise(grid.shape, 7.0, grid.voxel_mm, rng)
    second = smooth_noise(grid.shape, 9.0, grid.voxel_mm, rng)
    curve = (np.abs(first) < 0.035) & (np.abs(second) < 0.12) & (tissues.csf > 0.45)
    soft: Field = ndimage.gaussian_filter(curve.astype(np.float32), max(0.45, 0.65 / grid.voxel_mm), truncate=2.5)
    return soft


def draw_image(
    modality: str, scene: Scene, mask: NDArray[np.bool_], grid: Grid, rng: np.random.Generator
) -> NDArray[np.int16]:
    """One image of the scene, at least 1 inside `mask` and 0 outside."""
    values = np.array(INTENSITIES[modality])
    if not scene.high_grade:
        values[4:] = LOW_GRADE_TUMOUR[modality]
    values *= rng.normal(1, JITTER_SD, len(TISSUES))
    level = values.astype(np.float32)
    parts, fluid, fine = scene.parts, scene.texture["fluid"], scene.texture["fine"]
    image: Field = np.tensordot(level, parts, axes=1)
    image += level[4] * parts[4] * (np.float32(FLUID[modality]) * fluid + np.float32(0.07) * fine)
    image += level[5] * parts[5] * (np.float32(0.05) * fluid)
    image += level[6] * parts[6] * (np.float32(0.13) * fluid + np.float32(0.10) * fine)
    image *= 1 + np.float32(0.03) * fine + np.float32(0.02) * scene.texture["broad"]
    if modality == "t1c":
        image += np.float32(VESSEL) * scene.vessels
    return _acquire(image, modality, mask, grid, rng)


def _acquire(
    image: Field, modality: str, mask: NDArray[np.bool_], grid: Grid, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Spoil `image` as coil, slices, receiver noise, registration and the vendor's processing do."""
    bias = np.float32(rng.uniform(*BIAS)) * smooth_noise(grid.shape, BIAS_MM, grid.voxel_mm, rng)
    image = image * np.exp(bias)
    slice_mm, axis = rng.choice(SLICE_MM[modality]), rng.choice(SLICE_AXES)
    if slice_mm > grid.voxel_mm:
        image = ndimage.gaussian_filter1d(image, 0.36 * slice_mm / grid.voxel_mm, axis=axis, truncate=3.0)
    image = rician(image, rng.uniform(*NOISE_SD), rng)
    if rng.random() < RESAMPLED_CASES:
        image = ndimage.gaussian_filter(image, RESAMPLING_MM / grid.voxel_mm, truncate=3.0)
    image = np.power(image, np.float32(rng.uniform(*GAMMA)))
    image *= np.float32(np.exp(rng.normal(np.log(GAIN_MEDIAN), GAIN_LOG_SD)))
    visible: NDArray[np.int16] = (np.clip(np.rint(image), 1, BRIGHTEST) * mask).astype(np.int16)
    return visible
