"""The shape of a heart in short-axis slices: chambers, wall, infarct, and what lies around them."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from passion.data.phantom.noise import smooth_noise

Plane = NDArray[np.float64]
"""One value a pixel, shape (X, Y)."""

HARMONICS = np.arange(2, 6)
"""Of the contours: from oval to knobbly."""


class Tissue(IntEnum):
    """What a pixel is made of."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    LIVER = 4
    MEDIASTINUM = 5
    SPINE = 6
    AORTA = 7
    LV = 8
    RV = 9
    PAPILLARY = 10
    MYOCARDIUM = 11
    EDEMA = 12
    SCAR = 13
    NO_REFLOW = 14
    RV_WALL = 15


@dataclass(frozen=True)
class Contour:
    """A closed curve's deviation from a circle: sum over harmonics k of a_k cos(k angle + phase_k)."""

    amplitudes: NDArray[np.float64]
    phases: NDArray[np.float64]

    def at(self, angle: Plane) -> Plane:
        """Relative deviation of the radius at each angle."""
        waves = (a * np.cos(k * angle + p) for k, a, p in zip(HARMONICS, self.amplitudes, self.phases, strict=True))
        out: Plane = np.sum(list(waves), axis=0)
        return out


def draw_contour(size: float, rng: np.random.Generator) -> Contour:
    """A contour whose second harmonic has about `size`, the higher ones less."""
    amplitudes = size * rng.normal(size=len(HARMONICS)) * (HARMONICS / 2.0) ** -1.5
    return Contour(amplitudes, rng.uniform(0, 2 * np.pi, len(HARMONICS)))


@dataclass(frozen=True)
class Heart:
    """What a patient's heart and chest look like; lengths in mm, angles in rad.

    Args:
        shape: pixels (X, Y) of a slice.
        pixel_mm: their size.
        thickness_mm: distance of the slices.
        levels: of the slices, from the apex (0) to the base (1).
        radius: of the left ventricle's cavity at the base.
        wall: thickness of its wall.
        centre: of the left ventricle, from the middle of the image.
        drift: of that centre from apex to base.
        septum: direction in which the right ventricle lies.
        right: size of the right ventricle, 1 on average.
        endo: inner contour of the wall.
        thickness: variation of the wall around the circumference.
        right_contour: of the right ventricle.
        infarct: direction of the infarct's centre.
        half_width: of the infarct along the circumference.
        transmurality: how much of the wall the scar takes at its centre.
        chronic: an old infarct: thin wall, little oedema.
        level: of the infarct's centre.
        extent: of the infarct along the levels.
        fat: thickness of the fat around the heart.
        chest: half axes of the chest.
    """

    shape: tuple[int, int]
    pixel_mm: float
    thickness_mm: float
    levels: tuple[float, ...]
    radius: float
    wall: float
    centre: NDArray[np.float64]
    drift: NDArray[np.float64]
    septum: float
    right: float
    endo: Contour
    thickness: Contour
    right_contour: Contour
    infarct: float
    half_width: float
    transmurality: float
    chronic: bool
    level: float
    extent: float
    fat: float
    chest: tuple[float, float]


TERRITORIES = {"LAD": (0.5, -0.9, 1.15), "RCA": (0.3, 1.15, 0.9), "LCX": (0.2, 2.9, 0.85)}
"""Coronary artery: how often it is the culprit, where its territory is from the septum (rad), how wide that is."""


def draw_heart(rng: np.random.Generator) -> Heart:
    """Draw a heart."""
    slices = int(rng.choice([2, 3, 4, 4, 4, 5, 5, 6]))
    width = int(rng.choice([408, 448, 480, 480, 512]))
    septum = rng.normal(np.deg2rad(190), np.deg2rad(16))
    shares, angles, widths = np.array(list(TERRITORIES.values())).T
    territory = rng.choice(len(shares), p=shares)
    lowest = rng.uniform(0.12, 0.32)
    return Heart(
        shape=(width - int(rng.integers(0, 8)), width),
        pixel_mm=float(rng.uniform(0.73, 0.76)),
        thickness_mm=float(rng.choice([12, 13, 14, 14, 15, 16, 20, 23])),
        levels=tuple(np.linspace(lowest, rng.uniform(0.88, 1.0), slices).tolist()),
        radius=float(np.clip(rng.normal(23.0, 2.8), 16, 30)),
        wall=float(np.clip(rng.normal(12.5, 1.6), 8.5, 17)),
        centre=rng.normal(0, 12, 2),
        drift=rng.normal(0, 8, 2),
        septum=septum,
        right=float(np.clip(rng.normal(1.0, 0.14), 0.7, 1.35)),
        endo=draw_contour(0.07, rng),
        thickness=draw_contour(0.14, rng),
        right_contour=draw_contour(0.09, rng),
        infarct=septum + angles[territory] + rng.normal(0, 0.25),
        half_width=float(rng.uniform(0.65, 1.35) * widths[territory]),
        transmurality=float(rng.uniform(0.5, 1.15)),
        chronic=bool(rng.random() < 0.25),
        level=float(rng.uniform(0.3, 0.9)),
        extent=float(rng.uniform(0.35, 0.8)),
        fat=float(rng.uniform(1.5, 6.0)),
        chest=(float(rng.normal(172, 9)), float(rng.normal(118, 8))),
    )


def plane_noise(heart: Heart, correlation_mm: float, rng: np.random.Generator) -> Plane:
    """Noise of variance about 1 that varies over `correlation_mm`, (X, Y)."""
    field = smooth_noise((*heart.shape, 1), correlation_mm, heart.pixel_mm, rng)[..., 0]
    out: Plane = field.astype(np.float64)
    return out


def wrapped(angle: Plane) -> Plane:
    """The same angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


@dataclass(frozen=True)
class SliceShape:
    """One slice: where things are, in mm and rad; fields (X, Y).

    Args:
        x: to the right of the image's middle.
        y: down from it.
        angle: around the left ventricle's centre.
        radius: from that centre.
        inner: radius of the inner contour at that angle.
        wall: thickness of the wall at that angle.
        right: distance from the right ventricle's centre; 1 on its contour.
        right_margin: what a millimetre is in `right`.
    """

    x: Plane
    y: Plane
    angle: Plane
    radius: Plane
    inner: Plane
    wall: Plane
    right: Plane
    right_margin: float

    @property
    def depth(self) -> Plane:
        """Through the wall: 0 on its inner contour, 1 on its outer."""
        return (self.radius - self.inner) / self.wall


def draw_slice(heart: Heart, level: float, rng: np.random.Generator) -> SliceShape:
    """The shape of the heart at `level`: a bullet, narrow at the apex."""
    columns, rows = (np.arange(extent) - extent / 2 for extent in heart.shape)
    x, y = np.meshgrid(columns * heart.pixel_mm, rows * heart.pixel_mm, indexing="ij")
    profile = np.sqrt(max(1e-3, 1 - (1 - level) ** 2.6))
    centre = heart.centre + heart.drift * (level - 0.5) + rng.normal(0, 0.8, 2)
    dx, dy = x - centre[0], y - centre[1]
    angle, radius = np.arctan2(dy, dx), np.hypot(dx, dy)
    twist = 0.5 * (level - 0.5)
    inner = heart.radius * profile * (1 + heart.endo.at(angle + twist) + 0.02 * plane_noise(heart, 10, rng))
    thinning = 0.35 * heart.chronic * np.exp(-0.5 * (wrapped(angle - heart.infarct) / heart.half_width) ** 2)
    wall = heart.wall * (0.78 + 0.22 * profile) * (1 + heart.thickness.at(angle + twist)) * (1 - thinning)
    wall = np.maximum(wall, 4.0)
    outer = float((inner + wall).mean())
    right, margin = _right_ventricle(heart, (dx, dy), outer, profile)
    return SliceShape(x, y, angle, radius, inner, wall, right, margin)


def _right_ventricle(heart: Heart, offset: tuple[Plane, Plane], outer: float, profile: float) -> tuple[Plane, float]:
    """A crescent: an oval that the left ventricle covers in part; see `SliceShape.right` and `right_margin`."""
    distance = outer * 0.62 + 13 * heart.right * profile
    direction = np.array([np.cos(heart.septum), np.sin(heart.septum)])
    dx, dy = offset[0] - direction[0] * distance, offset[1] - direction[1] * distance
    across = dx * direction[0] + dy * direction[1]
    along = dy * direction[0] - dx * direction[1]
    half_across = 23.5 * heart.right * (0.30 + 0.70 * profile**1.4)
    half_along = 33.5 * heart.right * (0.38 + 0.62 * profile**1.2)
    oval = np.hypot(across / np.where(across > 0, half_across, 1.35 * half_across), along / half_along)
    return oval / (1 + heart.right_contour.at(np.arctan2(along, across))), 1 / half_across


def tissues_of(heart: Heart, level: float, shape: SliceShape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """What each pixel of a slice is made of, (X, Y) `Tissue`."""
    coarse, fine = plane_noise(heart, 9, rng), plane_noise(heart, 3.5, rng)
    tissue = _surroundings(heart, shape, rng)
    depth = shape.depth
    right_wall = (shape.right < 1 + 3.2 * shape.right_margin) & (depth > 1)
    tissue[right_wall] = Tissue.RV_WALL
    tissue[(shape.right < 1) & (depth > 1) & (shape.radius > shape.inner + shape.wall + 0.5)] = Tissue.RV
    tissue[(tissue == Tissue.RV) & (fine > 1.35) & (shape.right > 0.72)] = Tissue.PAPILLARY
    tissue[depth < 0] = Tissue.LV
    tissue[_papillary(heart, level, shape, fine, rng)] = Tissue.PAPILLARY
    wall = (depth >= 0) & (depth <= 1)
    tissue[wall] = Tissue.MYOCARDIUM
    for kind, mask in _infarct(heart, level, shape, (coarse, fine), rng).items():
        tissue[wall & mask] = kind
    return tissue


def _papillary(
    heart: Heart, level: float, shape: SliceShape, fine: Plane, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Two papillary muscles below the base, and trabeculae along the wall."""
    inside = shape.depth < 0
    mask = inside & (shape.radius > shape.inner - 2.5) & (fine > 0.95)
    if level > 0.9:
        return mask
    centre = [(axis[inside]).mean() for axis in (shape.x, shape.y)]
    for direction in (heart.septum + 2.4, heart.septum - 2.3):
        angle = direction + rng.normal(0, 0.2)
        reach = heart.radius * rng.uniform(0.5, 0.7) * np.sqrt(max(1e-3, 1 - (1 - level) ** 2.6))
        dx = shape.x - centre[0] - reach * np.cos(angle)
        dy = shape.y - centre[1] - reach * np.sin(angle)
        mask |= inside & (np.hypot(dx, dy * rng.uniform(0.8, 1.4)) < rng.uniform(2.2, 4.6))
    return mask


def _infarct(
    heart: Heart, level: float, shape: SliceShape, noise: tuple[Plane, Plane], rng: np.random.Generator
) -> dict[Tissue, NDArray[np.bool_]]:
    """Oedema, the scar inside it, and no-reflow inside that; the scar spreads from the inner contour outwards."""
    coarse, fine = noise
    strength = np.exp(-0.5 * ((level - heart.level) / heart.extent) ** 2)
    width = np.maximum(heart.half_width * strength * 1.15 + 0.12 * coarse, 0.05)
    arc = np.abs(wrapped(shape.angle - heart.infarct)) / width
    front = heart.transmurality * (1.12 - 0.55 * np.clip(arc, 0, 1.2) ** 2) + 0.12 * coarse + 0.08 * fine
    scar = (arc < 1) & (shape.depth < front) & (width > 0.18)
    wider = 0.15 if heart.chronic else rng.uniform(0.25, 0.6)
    outer_arc = np.abs(wrapped(shape.angle - heart.infarct)) / (width + wider)
    reach = np.clip(front + 0.45, 0, 1.3) * (1.15 - 0.3 * outer_arc**2)
    edema = (outer_arc < 1) & (shape.depth < reach) & (width > 0.15)
    dead = scar & (shape.depth < 0.55 * front) & (arc < 0.5) & (coarse > 0.75) & (not heart.chronic)
    return {Tissue.EDEMA: edema, Tissue.SCAR: scar, Tissue.NO_REFLOW: dead}


def _surroundings(heart: Heart, shape: SliceShape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Chest wall, lungs, liver, spine, aorta, and fat around the heart."""
    x, y = shape.x, shape.y
    middle = heart.centre + np.array([-38, 18])
    rounding = 1 + 0.05 * np.cos(2 * np.arctan2(y, x)) + 0.02 * np.sin(3 * np.arctan2(y, x) + rng.uniform(0, 6))
    body = np.hypot((x - middle[0]) / heart.chest[0], (y - middle[1]) / heart.chest[1]) / rounding
    slow = plane_noise(heart, 60, rng)
    tissue = np.full(heart.shape, Tissue.AIR, dtype=np.uint8)
    skin = rng.uniform(0.03, 0.09)
    tissue[body < 1] = Tissue.FAT
    tissue[body < 1 - skin] = Tissue.MUSCLE
    inside = body < 1 - skin - rng.uniform(0.07, 0.11)
    dx, dy = x - heart.centre[0], y - heart.centre[1]
    tissue[inside] = Tissue.MEDIASTINUM
    beyond = shape.radius - shape.inner - shape.wall
    left = (dx > 16 * slow + 0.35 * dy) & (beyond > 6 + 6 * slow) | (dy < -(46 + 8 * slow) + 0.25 * dx)
    right = (dx < -(72 + 9 * slow)) & (dy < 28 + 14 * slow)
    tissue[inside & (left | right) & (beyond > 3)] = Tissue.LUNG
    tissue[inside & (dy > 46 + 7 * slow - 0.35 * dx) & (dx < 14 + 10 * slow) & (beyond > 5)] = Tissue.LIVER
    spine = middle + np.array([4, 0.5 * heart.chest[1]])
    tissue[inside & (np.hypot((x - spine[0]) / 20, (y - spine[1]) / 16) < 1)] = Tissue.SPINE
    tissue[inside & (np.hypot(x - spine[0] - 27, y - spine[1] + 5) < 11)] = Tissue.AORTA
    cushion = np.clip(heart.fat * (0.6 + 0.5 * np.cos(shape.angle - heart.septum - 0.9)) + 1.5 * slow, 0, 9)
    near_right = shape.right < 1 + (3.2 + cushion) * shape.right_margin
    tissue[inside & ((beyond < cushion) | near_right)] = Tissue.FAT
    return tissue
