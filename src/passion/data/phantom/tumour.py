"""Tumours: where they grow, how they push the brain aside, and their parts as BraTS labels them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from passion.data.phantom.anatomy import Atlas, Grid, Tissues, centred_axes, combine, sample, sample_tissues
from passion.data.phantom.noise import Field, even_uniforms, smooth_noise

Mask = NDArray[np.bool_]

NCR, ED, ET = 1, 2, 4
"""BraTS's label codes: necrotic and non-enhancing core, oedema, enhancing tumour."""

SHARES = {"rim": 0.53, "solid": 0.26, "patchy": 0.137, "none": 0.073}
"""Share of the cases with each pattern of enhancement; the first two are high grade."""
HIGH_GRADE = ("rim", "solid")

# Median, standard deviation of the logarithm, smallest and largest volume, ml.
CORE_ML = (28.0, 0.8, 3.0, 150.0)
OEDEMA_ML = (50.0, 0.62, 3.0, 190.0)
LOW_GRADE_OEDEMA = 0.6

AXIS_LOG_SD = 0.18
"""How far the core's ellipsoid is from a ball."""
PUSH = (0.18, 0.42)
"""Displacement at the edge of the core, as a part of its radius."""
PUSH_REACH = 1.7
"""Distance over which the displacement fades, in radii."""
RIGID_DEPTH_MM = 15.0
"""The displacement fades over this depth towards the skull, which does not move."""
CROSSING_SHARE = 0.2
"""A core with this share beyond the midline grows through the corpus callosum; others stay on their side."""
CSF_LIMIT = 0.7
"""Voxels with more CSF are never tumour or oedema."""
RIM_MM = (4.0, 8.6)
"""Thickness of the enhancing rim."""
OEDEMA_REACH_MM = 70.0


@dataclass(frozen=True)
class Plan:
    """What is settled about a tumour before it grows: its enhancement (a key of `SHARES`) and its volumes."""

    enhancement: str
    core_ml: float
    oedema_ml: float

    @property
    def high_grade(self) -> bool:
        """Whether it is a glioblastoma rather than a low-grade glioma."""
        return self.enhancement in HIGH_GRADE

    @property
    def radius_mm(self) -> float:
        """Radius of the ball of the core's volume."""
        return float((3 * self.core_ml * 1000 / (4 * np.pi)) ** (1 / 3))


@dataclass(frozen=True)
class Growth:
    """The shape a tumour strives for, before the tissue limits it.

    Args:
        offset_mm: position relative to the tumour's origin, three arrays that broadcast to the grid.
        distance_mm: uneven distance from the origin, as of an ellipsoid; the core ends at its radius.
        ripple: noise of about 9 mm that gave the distance its uneven surface.
    """

    offset_mm: list[Field]
    distance_mm: Field
    ripple: Field


@dataclass(frozen=True)
class Tumour:
    """The parts of a tumour, disjoint masks; `infiltration` falls from 1 at the oedema's border to 0."""

    ncr: Mask
    ed: Mask
    et: Mask
    infiltration: Field

    @property
    def labels(self) -> NDArray[np.int16]:
        """BraTS's label codes."""
        codes = np.zeros(self.ed.shape, dtype=np.int16)
        for mask, code in ((self.ncr, NCR), (self.ed, ED), (self.et, ET)):
            codes[mask] = code
        return codes


def draw_plan(seed: int, index: int) -> Plan:
    """Grade, enhancement and volumes of case `index`; consecutive cases cover their distributions evenly."""
    pattern, core, oedema = even_uniforms(seed, index, 3)
    bounds = np.cumsum(list(SHARES.values()))
    enhancement = list(SHARES)[min(int(np.searchsorted(bounds, pattern, side="right")), len(SHARES) - 1)]
    grade = 1.0 if enhancement in HIGH_GRADE else LOW_GRADE_OEDEMA
    return Plan(enhancement, _log_normal(core, CORE_ML), grade * _log_normal(oedema, OEDEMA_ML))


def _log_normal(uniform: float, distribution: tuple[float, float, float, float]) -> float:
    median, log_sd, low, high = distribution
    return float(np.clip(median * np.exp(log_sd * special.ndtri(uniform)), low, high))


def draw_origin(atlas: Atlas, coordinates: NDArray[np.float32], rng: np.random.Generator) -> tuple[int, int, int]:
    """The voxel nearest to a random position of the white matter."""
    target = atlas.seeds[rng.integers(len(atlas.seeds))]
    distance = sum((coordinates[axis] - np.float32(target[axis])) ** 2 for axis in range(3))
    x, y, z = np.unravel_index(np.argmin(distance), coordinates.shape[1:])
    return int(x), int(y), int(z)


def draw_growth(plan: Plan, origin: tuple[int, int, int], grid: Grid, rng: np.random.Generator) -> Growth:
    """A randomly turned ellipsoid with an uneven surface."""
    offset = []
    for axis, position in enumerate(centred_axes(grid.shape, grid.voxel_mm)):
        offset.append(position - position.ravel()[origin[axis]])
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    stretch = np.exp(rng.normal(0, AXIS_LOG_SD, 3))
    stretch /= np.cbrt(stretch.prod())
    turned = combine(turn / stretch[:, None], offset)
    radius = plan.radius_mm
    lobes = smooth_noise(grid.shape, 0.9 * radius + 6, grid.voxel_mm, rng)
    ripple = smooth_noise(grid.shape, 9.0, grid.voxel_mm, rng)
    distance = np.sqrt(turned[0] ** 2 + turned[1] ** 2 + turned[2] ** 2)
    distance += np.float32(0.16 * radius) * lobes + np.float32(1.1) * ripple
    return Growth(offset, distance, ripple)


def push_aside(
    atlas: Atlas,
    coordinates: NDArray[np.float32],
    rotation: NDArray[np.float64],
    growth: Growth,
    radius_mm: float,
    strip_mm: float,
    rng: np.random.Generator,
) -> Tissues:
    """The tissues after the core has pushed them outwards, except at the skull.

    Args:
        atlas: maps of the template.
        coordinates: where each voxel lies in the atlas, shape (3, X, Y, Z); moved in place.
        rotation: from the grid's axes to the atlas's, shape (3, 3).
        growth: where the tumour grows.
        radius_mm: of its core.
        strip_mm: how much of the brain's surface skull stripping takes away.
        rng: draws the strength.
    """
    x, y, z = growth.offset_mm
    depth = sample(atlas.depth_mm, coordinates)
    away = np.sqrt(x**2 + y**2 + z**2) + np.float32(1e-3)
    relative = away / np.float32(radius_mm)
    push_mm = np.float32(radius_mm * rng.uniform(*PUSH)) * np.exp(-0.5 * (relative / PUSH_REACH) ** 2)
    push_mm *= np.minimum(relative, 1) * np.clip(depth / np.float32(RIGID_DEPTH_MM), 0, 1)
    push_mm /= away
    for axis, outward in enumerate(combine(rotation, growth.offset_mm)):
        coordinates[axis] -= outward * push_mm
    return sample_tissues(atlas, coordinates, depth > strip_mm)


def grow(
    plan: Plan,
    growth: Growth,
    tissues: Tissues,
    origin: tuple[int, int, int],
    grid: Grid,
    rng: np.random.Generator,
) -> Tumour:
    """The tumour in the brain it has pushed aside.

    Core and oedema keep out of CSF and stay in the origin's hemisphere, unless a good part of the core itself
    lies beyond the midline.
    """
    ball = growth.distance_mm < plan.radius_mm
    allowed = tissues.mask & (tissues.csf < CSF_LIMIT)
    same_side = tissues.right == tissues.right[origin]
    if (ball & allowed & ~same_side).sum() < CROSSING_SHARE * (ball & allowed).sum():
        allowed &= same_side
    core = largest_part(ball & allowed)
    et = _enhancing(core, plan.enhancement, grid, rng)
    cost = _oedema_cost(growth, plan.radius_mm, tissues.white, grid, rng)
    free = allowed & ~core & (growth.distance_mm < plan.radius_mm + OEDEMA_REACH_MM)
    limit = _cost_limit(cost[free], int(plan.oedema_ml * 1000 / grid.voxel_mm**3))
    ed = largest_part((free & (cost <= limit)) | core) & ~core
    infiltration = np.exp(-np.clip(cost - limit, 0, 50) / np.float32(2.5)) * (allowed & ~core & ~ed)
    return Tumour(core & ~et, ed, et, infiltration.astype(np.float32))


def largest_part(mask: Mask) -> Mask:
    """The largest 6-connected component of `mask`.

    >>> largest_part(np.array([[[True, False, True, True]]])).tolist()
    [[[False, False, True, True]]]
    """
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    largest: Mask = parts == int(np.bincount(parts.ravel())[1:].argmax()) + 1
    return largest


def _enhancing(core: Mask, enhancement: str, grid: Grid, rng: np.random.Generator) -> Mask:
    """The part of the core that takes up contrast: an uneven rim, most of it, patches or nothing."""
    coarse = smooth_noise(grid.shape, 12.0, grid.voxel_mm, rng)
    fine = smooth_noise(grid.shape, max(5.0, 3.3 * grid.voxel_mm), grid.voxel_mm, rng)
    rim_mm = rng.uniform(*RIM_MM)
    if enhancement == "none" or not core.any():
        return np.zeros_like(core)
    depth = _depth_in(core, grid.voxel_mm)
    if enhancement == "patchy":
        return core & (coarse + 0.4 * fine > 1.6) & (depth > 1.0)
    thickness = np.maximum(rim_mm * (1 + 0.55 * coarse) + 0.6 * fine, 0.6)
    islands = coarse + 0.5 * fine > 1.75
    if enhancement == "solid":
        islands |= coarse > -0.3
    return core & ((depth <= thickness) | islands)


def _depth_in(mask: Mask, voxel_mm: float) -> Field:
    """Distance from each voxel of `mask` to the nearest outside it, mm."""
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    depth = np.zeros(mask.shape, dtype=np.float32)
    inside = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=voxel_mm)
    depth[box] = inside[1:-1, 1:-1, 1:-1]
    return depth


def _oedema_cost(growth: Growth, radius_mm: float, white: Field, grid: Grid, rng: np.random.Generator) -> Field:
    """How hard it is for oedema to reach a voxel, about mm of white matter; grey counts threefold."""
    outside = np.maximum(growth.distance_mm - np.float32(radius_mm), 0)
    tract = ndimage.gaussian_filter(white, 5 / grid.voxel_mm, truncate=2.5)
    cost = outside * (1.25 - 0.75 * tract) / (0.35 + 0.75 * white)
    cost += 2.2 * smooth_noise(grid.shape, 13.0, grid.voxel_mm, rng) + 0.8 * growth.ripple
    resistance: Field = cost.astype(np.float32)
    return resistance


def _cost_limit(costs: Field, count: int) -> np.float32:
    """The cost that the `count` cheapest voxels do not exceed."""
    if costs.size == 0:
        return np.float32(0)
    rank = min(max(count, 1), costs.size) - 1
    return np.float32(np.partition(costs, rank)[rank])
