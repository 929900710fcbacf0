"""What each pixel of a short-axis slice is made of: the heart with its infarct, and the chest around it."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from passion.data.phantom.heart_anatomy import Heart, Plane, SliceShape, plane_noise, wrapped
from passion.data.phantom.tumour import largest_part

Mask = NDArray[np.bool_]

GROOVE_MM = 5.0
"""Fat rounds off the grooves between the ventricles over about this distance."""


class Tissue(IntEnum):
    """What a pixel is made of."""

    AIR = 0
    LUNG = 1
    FAT = 2
    MUSCLE = 3
    LIVER = 4
    SPLEEN = 5
    MEDIASTINUM = 6
    BONE = 7
    VESSEL = 8
    LV = 9
    RV = 10
    PAPILLARY = 11
    MYOCARDIUM = 12
    EDEMA = 13
    SCAR = 14
    NO_REFLOW = 15
    RV_WALL = 16


@dataclass(frozen=True)
class Chest:
    """What lies around the heart, the same in all slices; lengths in mm, fields (X, Y).

    Args:
        half_axes: of the chest, to the side and to the back.
        phase: of its deviation from an oval, rad.
        skin: thickness of the fat under the skin, as a part of the half axes.
        muscle: likewise of muscles and ribs.
        fat: mean thickness of the fat around the heart.
        bend: how organs' borders are bent, along x and y.
        lobes: of the fat around the heart, mean 0 and variance 1.
        vessels: likewise; peaks are vessels of lung and liver.
        flank: what lies below the left ventricle: spleen, or gas in the stomach.
    """

    half_axes: tuple[float, float]
    phase: float
    skin: float
    muscle: float
    fat: float
    bend: tuple[Plane, Plane]
    lobes: Plane
    vessels: Plane
    flank: Tissue


def draw_chest(heart: Heart, rng: np.random.Generator) -> Chest:
    """Draw a chest."""
    return Chest(
        half_axes=(float(rng.normal(172, 9)), float(rng.normal(118, 8))),
        phase=float(rng.uniform(0, 6)),
        skin=float(rng.uniform(0.03, 0.11)),
        muscle=float(rng.uniform(0.07, 0.11)),
        fat=float(rng.uniform(0.0, 5.0)),
        bend=(9 * plane_noise(heart, 38, rng), 9 * plane_noise(heart, 38, rng)),
        lobes=plane_noise(heart, 22, rng),
        vessels=plane_noise(heart, 5, rng),
        flank=Tissue.SPLEEN if rng.random() < 0.6 else Tissue.LUNG,
    )


def heart_tissues(heart: Heart, shape: SliceShape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The heart alone, (X, Y) `Tissue`; air elsewhere."""
    coarse, fine = plane_noise(heart, 9, rng), plane_noise(heart, 3.5, rng)
    tissue = np.full(heart.shape, Tissue.AIR, dtype=np.uint8)
    depth, beyond = shape.depth, shape.beyond_mm
    tissue[(shape.right_mm < heart.right_wall) & (beyond > 0)] = Tissue.RV_WALL
    cavity = largest_part((shape.right_mm < 0) & (beyond > 0.5))
    tissue[cavity] = Tissue.RV
    tissue[cavity & (shape.right_mm > -6) & (fine + 0.4 * coarse > 1.2)] = Tissue.PAPILLARY
    tissue[depth < 0] = Tissue.LV
    tissue[_papillary(heart, shape, (coarse, fine), rng)] = Tissue.PAPILLARY
    wall = (depth >= 0) & (depth <= 1)
    tissue[wall] = Tissue.MYOCARDIUM
    for kind, mask in _infarct(heart, shape, (coarse, fine), rng).items():
        tissue[wall & mask] = kind
    return tissue


def _papillary(heart: Heart, shape: SliceShape, noise: tuple[Plane, Plane], rng: np.random.Generator) -> Mask:
    """Trabeculae along the wall, more at the apex, and below the base two papillary muscles of one or two heads."""
    coarse, fine = noise
    inside = shape.depth < 0
    mask = inside & (shape.radius > shape.inner - 3) & (fine > 0.8 + 0.4 * shape.level)
    if shape.level > 0.9:
        return mask
    for direction in (heart.septum + 2.4, heart.septum - 2.3):
        for _ in range(int(rng.integers(1, 3))):
            angle = direction + float(rng.normal(0, 0.25))
            reach = heart.radius * shape.profile * float(rng.uniform(0.55, 0.95))
            inwards = shape.radius * np.cos(shape.angle - angle) - reach
            sideways = shape.radius * np.sin(shape.angle - angle)
            length, width = float(rng.uniform(2.5, 6.0)), float(rng.uniform(1.8, 4.2))
            mask |= inside & (np.hypot(inwards / length, sideways / width) < shape.profile * (1 + 0.3 * coarse))
    return mask


def _infarct(
    heart: Heart, shape: SliceShape, noise: tuple[Plane, Plane], rng: np.random.Generator
) -> dict[Tissue, Mask]:
    """Oedema, the scar inside it, and no-reflow inside that; the scar spreads from the inner contour outwards."""
    coarse, fine = noise
    strength = float(np.exp(-0.5 * ((shape.level - heart.level) / heart.extent) ** 2))
    width = np.maximum(heart.half_width * strength * 1.15 + 0.12 * coarse, 0.05)
    offset = np.abs(wrapped(shape.angle - heart.infarct))
    arc = offset / width
    front = heart.transmurality * (1.12 - 0.55 * np.clip(arc, 0, 1.2) ** 2) + 0.14 * coarse + 0.10 * fine
    scar = (arc < 1) & (shape.depth < front) & (width > 0.18)
    outer_arc = offset / (width + (0.15 if heart.chronic else float(rng.uniform(0.25, 0.6))))
    reach = np.clip(front + 0.45, 0, 1.3) * (1.15 - 0.3 * outer_arc**2)
    edema = (outer_arc < 1) & (shape.depth < reach) & (width > 0.15)
    dead = scar & (shape.depth < 0.55 * front) & (arc < 0.5) & (coarse > 0.75) & (not heart.chronic)
    return {Tissue.EDEMA: edema, Tissue.SCAR: scar, Tissue.NO_REFLOW: dead}


def with_chest(heart: Heart, chest: Chest, shape: SliceShape, tissue: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`tissue`, the heart alone, with the chest around it."""
    around, inside = _chest_wall(heart, chest, shape)
    around[inside] = Tissue.MEDIASTINUM
    dx, dy = (
        axis - centre + bend for axis, centre, bend in zip((shape.x, shape.y), heart.centre, chest.bend, strict=True)
    )
    outside = _outside_mm(heart, shape)
    lung = (dx > 10 + 0.35 * dy) & (outside > 3) | (dy < -48 + 0.25 * dx) | (dx < -74) & (dy < 30)
    around[inside & lung] = Tissue.LUNG
    below = inside & (dy > 44 - 0.35 * dx)
    around[below & (dx < 20)] = Tissue.LIVER
    around[below & (dx >= 20) & (dx < 75) & (dy > 30)] = chest.flank
    around[inside & (chest.vessels > 2.3) & np.isin(around, (Tissue.LUNG, Tissue.LIVER))] = Tissue.VESSEL
    spine = (heart.centre[0] - 34, heart.centre[1] + 18 + 0.5 * chest.half_axes[1])
    to_spine = (shape.x - spine[0], shape.y - spine[1])
    around[inside & (np.hypot(to_spine[0] / 20, to_spine[1] / 16) < 1)] = Tissue.BONE
    around[inside & (np.hypot(to_spine[0] - 27, to_spine[1] + 5) < 11)] = Tissue.VESSEL
    lean = 0.7 + 0.6 * np.cos(shape.angle - heart.septum - 0.9)
    around[inside & (outside < chest.fat * lean + 1.8 * chest.lobes)] = Tissue.FAT
    return np.where(tissue == Tissue.AIR, around, tissue)


def _chest_wall(heart: Heart, chest: Chest, shape: SliceShape) -> tuple[NDArray[np.uint8], Mask]:
    """Fat under the skin, muscles and ribs; and where the inside of the chest is."""
    around = np.arctan2(shape.y, shape.x)
    rounding = 1 + 0.05 * np.cos(2 * around) + 0.02 * np.sin(3 * around + chest.phase)
    offset = (shape.x - heart.centre[0] + 38, shape.y - heart.centre[1] - 18)
    position = np.hypot(*(axis / half for axis, half in zip(offset, chest.half_axes, strict=True))) / rounding
    position += 0.004 * chest.lobes
    tissue = np.full(heart.shape, Tissue.AIR, dtype=np.uint8)
    tissue[position < 1] = Tissue.FAT
    tissue[position < 1 - chest.skin] = Tissue.MUSCLE
    middle = 1 - chest.skin - 0.6 * chest.muscle
    rib = (np.abs(position - middle) < 0.28 * chest.muscle) & (np.cos(13 * around + chest.phase) > 0.2)
    tissue[rib] = Tissue.BONE
    return tissue, position < 1 - chest.skin - chest.muscle


def _outside_mm(heart: Heart, shape: SliceShape) -> Plane:
    """About the distance from the heart; less in the grooves between the ventricles, which are rounded off."""
    left, right = shape.beyond_mm / GROOVE_MM, (shape.right_mm - heart.right_wall) / GROOVE_MM
    nearest: Plane = np.float32(-GROOVE_MM) * np.logaddexp(-left, -right)
    return nearest
