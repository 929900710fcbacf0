"""The shape of a heart in short-axis slices: the wall of the left ventricle, the crescent of the right one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passion.data.phantom.noise import smooth_plane

Plane = NDArray[np.float32]
"""One value a pixel, shape (X, Y)."""

HARMONICS = np.arange(2, 6)
"""Of the contours: from oval to knobbly."""

SLICES = (2, 3, 3, 4, 4, 4, 5, 5, 6)
THICKNESS_MM = (12, 23)
STACK_MM = (44, 90)
"""Shortest and longest stack of slices: a ventricle is no longer."""

TERRITORIES = {"LAD": (0.5, -0.9, 1.15), "RCA": (0.3, 1.15, 0.9), "LCX": (0.2, 2.9, 0.85)}
"""Coronary artery: how often it is the culprit, where its territory is from the septum (rad), how wide that is."""

THINNEST_WALL_MM = 4.0


@dataclass(frozen=True)
class Contour:
    """A closed curve's deviation from a circle: sum over harmonics k of a_k cos(k angle + phase_k)."""

    amplitudes: NDArray[np.float64]
    phases: NDArray[np.float64]

    def at(self, angle: Plane) -> Plane:
        """Relative deviation of the radius at each angle."""
        out = np.zeros_like(angle)
        for k, amplitude, phase in zip(*(a.tolist() for a in (HARMONICS, self.amplitudes, self.phases)), strict=True):
            out += amplitude * np.cos(k * angle + phase)
        return out


def draw_contour(size: float, rng: np.random.Generator) -> Contour:
    """A contour whose second harmonic has about `size`, the higher ones less."""
    amplitudes = size * rng.normal(size=len(HARMONICS)) * (HARMONICS / 2.0) ** -1.8
    return Contour(amplitudes, rng.uniform(0, 2 * np.pi, len(HARMONICS)))


@dataclass(frozen=True)
class Heart:
    """What a patient's heart looks like; lengths in mm, angles in rad.

    Args:
        shape: pixels (X, Y) of a slice.
        pixel_mm: their size.
        thickness_mm: distance of the slices.
        levels: of the slices, from the apex (0) to the base (1).
        radius: of the left ventricle's cavity at the base.
        wall: thickness of its wall.
        centre: (x, y) of the left ventricle, from the middle of the image.
        drift: of that centre from apex to base.
        septum: direction in which the right ventricle lies.
        flatness: how far the septum is pressed in, as a part of the radius.
        right: size of the right ventricle across and along the septum, 1 on average.
        right_wall: thickness of its wall.
        endo: inner contour of the wall.
        thickness: variation of the wall around the circumference.
        right_contour: of the right ventricle.
        infarct: direction of the infarct's centre.
        half_width: of the infarct along the circumference.
        transmurality: how much of the wall the scar takes at its centre.
        chronic: an old infarct: thin wall, little oedema.
        level: of the infarct's centre.
        extent: of the infarct along the levels.
    """

    shape: tuple[int, int]
    pixel_mm: float
    thickness_mm: float
    levels: tuple[float, ...]
    radius: float
    wall: float
    centre: tuple[float, float]
    drift: tuple[float, float]
    septum: float
    flatness: float
    right: tuple[float, float]
    right_wall: float
    endo: Contour
    thickness: Contour
    right_contour: Contour
    infarct: float
    half_width: float
    transmurality: float
    chronic: bool
    level: float
    extent: float


def draw_heart(rng: np.random.Generator) -> Heart:
    """Draw a heart and the stack of slices through it."""
    slices = int(rng.choice(SLICES))
    thinnest = max(THICKNESS_MM[0], -(-STACK_MM[0] // slices))
    thickest = min(THICKNESS_MM[1], STACK_MM[1] // slices)
    levels = np.linspace(rng.uniform(0.12, 0.32), rng.uniform(0.88, 1.0), slices)
    width = int(rng.choice([408, 448, 480, 480, 512]))
    septum = float(rng.normal(np.deg2rad(190), np.deg2rad(16)))
    shares, angles, widths = (list(column) for column in zip(*TERRITORIES.values(), strict=True))
    territory = int(rng.choice(len(shares), p=shares))
    return Heart(
        shape=(width - int(rng.integers(0, 8)), width),
        pixel_mm=float(rng.uniform(0.73, 0.76)),
        thickness_mm=float(rng.integers(thinnest, thickest, endpoint=True)),
        levels=tuple(levels.tolist()),
        radius=float(np.clip(rng.normal(23.5, 2.8), 17, 30)),
        wall=float(np.clip(rng.normal(12.0, 1.8), 8.5, 17)),
        centre=(float(rng.normal(0, 12)), float(rng.normal(0, 12))),
        drift=(float(rng.normal(0, 8)), float(rng.normal(0, 8))),
        septum=septum,
        flatness=float(min(abs(rng.normal(0, 0.08)), 0.16)),
        right=(float(np.clip(rng.normal(1.0, 0.15), 0.7, 1.4)), float(np.clip(rng.normal(1.0, 0.12), 0.75, 1.3))),
        right_wall=float(rng.uniform(2.0, 4.0)),
        endo=draw_contour(0.07, rng),
        thickness=draw_contour(0.15, rng),
        right_contour=draw_contour(0.11, rng),
        infarct=septum + angles[territory] + float(rng.normal(0, 0.25)),
        half_width=float(rng.uniform(0.5, 1.35)) * widths[territory],
        transmurality=float(rng.uniform(0.4, 1.15)),
        chronic=bool(rng.random() < 0.25),
        level=float(rng.uniform(0.3, 0.9)),
        extent=float(rng.uniform(0.25, 0.8)),
    )


def plane_noise(heart: Heart, correlation_mm: float, rng: np.random.Generator) -> Plane:
    """Noise of variance about 1 that varies over `correlation_mm`, (X, Y)."""
    return smooth_plane(heart.shape, correlation_mm, heart.pixel_mm, rng)


def wrapped(angle: Plane) -> Plane:
    """The same angle in [-pi, pi)."""
    out: Plane = (angle + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi)
    return out


@dataclass(frozen=True)
class SliceShape:
    """One slice: where things are, in mm and rad; fields (X, Y).

    Args:
        level: from the apex (0) to the base (1).
        profile: how wide the heart is here; 1 at the base.
        x: from the image's middle to the patient's left.
        y: from it to the back.
        angle: around the left ventricle's centre.
        radius: from that centre.
        inner: radius of the inner contour at that angle.
        wall: thickness of the wall at that angle.
        right_mm: about the distance from the right ventricle's contour; negative inside.
    """

    level: float
    profile: float
    x: Plane
    y: Plane
    angle: Plane
    radius: Plane
    inner: Plane
    wall: Plane
    right_mm: Plane

    @property
    def depth(self) -> Plane:
        """Through the wall: 0 on its inner contour, 1 on its outer."""
        return (self.radius - self.inner) / self.wall

    @property
    def beyond_mm(self) -> Plane:
        """Distance from the wall's outer contour; negative inside."""
        return self.radius - self.inner - self.wall


def draw_slice(heart: Heart, level: float, rng: np.random.Generator) -> SliceShape:
    """The shape of the heart at `level`: a bullet, narrow at the apex."""
    columns, rows = (np.arange(extent, dtype=np.float32) - np.float32(extent / 2) for extent in heart.shape)
    x, y = np.meshgrid(columns * heart.pixel_mm, rows * heart.pixel_mm, indexing="ij")
    profile = float(np.sqrt(max(1e-3, 1 - (1 - level) ** 2.6)))
    moved = (c + d * (level - 0.5) + float(rng.normal(0, 0.8)) for c, d in zip(heart.centre, heart.drift, strict=True))
    dx, dy = (axis - centre for axis, centre in zip((x, y), moved, strict=True))
    angle, radius = np.arctan2(dy, dx), np.hypot(dx, dy)
    turned = angle + 0.8 * (level - 0.5)
    bump = np.exp(-0.5 * (wrapped(angle - heart.septum) / 0.65) ** 2)
    uneven = 0.025 * plane_noise(heart, 11, rng)
    inner = heart.radius * profile * (1 + heart.endo.at(turned) - heart.flatness * bump + uneven)
    thinning = 0.35 * heart.chronic * np.exp(-0.5 * (wrapped(angle - heart.infarct) / heart.half_width) ** 2)
    wall = heart.wall * (0.78 + 0.22 * profile) * (1 + heart.thickness.at(turned)) * (1 - thinning)
    wall = np.maximum(wall, THINNEST_WALL_MM)
    right_mm = _right_ventricle(heart, (dx, dy), float((inner + wall).mean()), profile)
    return SliceShape(level, profile, x, y, angle, radius, inner, wall, right_mm)


def _right_ventricle(heart: Heart, offset: tuple[Plane, Plane], outer_mm: float, profile: float) -> Plane:
    """A crescent: an oval that the left ventricle covers in part; see `SliceShape.right_mm`."""
    across_size, along_size = heart.right
    distance = outer_mm * 0.62 + 13 * across_size * profile
    cosine, sine = float(np.cos(heart.septum)), float(np.sin(heart.septum))
    dx, dy = offset[0] - cosine * distance, offset[1] - sine * distance
    across, along = dx * cosine + dy * sine, dy * cosine - dx * sine
    half_across = 24.5 * across_size * (0.30 + 0.70 * profile**1.4)
    half_along = 34.5 * along_size * (0.38 + 0.62 * profile**1.2)
    stretch = np.where(across > 0, np.float32(half_across), np.float32(1.35 * half_across))
    oval = np.hypot(across / stretch, along / half_along)
    oval /= 1 + heart.right_contour.at(np.arctan2(along, across))
    distance_mm: Plane = (oval - 1) * np.float32(half_across)
    return distance_mm
