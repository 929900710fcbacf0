"""What the three sequences of MyoPS2020 make of a heart: bSSFP, late gadolinium enhancement, T2."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from passion.data.phantom.heart_anatomy import Heart, Plane, Tissue, plane_noise
from passion.data.phantom.noise import rician

BLOOD = (Tissue.LV, Tissue.RV, Tissue.AORTA)

SIGNAL: dict[Tissue, tuple[float, float, float]] = {
    Tissue.AIR: (0.0, 0.0, 0.0),
    Tissue.LUNG: (0.07, 0.06, 0.06),
    Tissue.FAT: (0.80, 0.60, 0.30),
    Tissue.MUSCLE: (0.36, 0.20, 0.36),
    Tissue.LIVER: (0.48, 0.28, 0.34),
    Tissue.MEDIASTINUM: (0.42, 0.30, 0.34),
    Tissue.SPINE: (0.30, 0.34, 0.30),
    Tissue.AORTA: (1.00, 0.62, 0.50),
    Tissue.LV: (1.00, 0.60, 0.62),
    Tissue.RV: (0.97, 0.64, 0.58),
    Tissue.PAPILLARY: (0.46, 0.22, 0.46),
    Tissue.MYOCARDIUM: (0.42, 0.19, 0.42),
    Tissue.EDEMA: (0.45, 0.19, 0.64),
    Tissue.SCAR: (0.45, 0.62, 0.62),
    Tissue.NO_REFLOW: (0.44, 0.27, 0.50),
    Tissue.RV_WALL: (0.42, 0.19, 0.42),
}
"""Mean signal in bSSFP, LGE and T2; the cavities' blood is brightest in bSSFP."""

BLACK_BLOOD = 0.6
"""Part of the T2 images in which blood is dark and fat suppressed."""

TEXTURE = {Tissue.SCAR: 0.22, Tissue.NO_REFLOW: 0.15, Tissue.EDEMA: 0.13, Tissue.MYOCARDIUM: 0.09, Tissue.LIVER: 0.14}
"""Relative variation within a tissue; 0.06 in the others."""


@dataclass(frozen=True)
class Scan:
    """How one sequence of a case was taken.

    Args:
        signal: of each tissue, by its number.
        blur_mm: of the image.
        shift_mm: against the labels, along X and Y.
        noise: standard deviation of the complex noise.
        gamma: of the display curve.
        gain: of the scanner.
        coil: sensitivity falls off by this much over the chest.
        slow_flow: a bright rim of slow blood along the wall.
    """

    signal: NDArray[np.float64]
    blur_mm: float
    shift_mm: NDArray[np.float64]
    noise: float
    gamma: float
    gain: float
    coil: float
    slow_flow: float


def draw_scans(rng: np.random.Generator) -> list[Scan]:
    """How bSSFP, LGE and T2 of one case are taken; the labels are drawn on bSSFP's place."""
    table = np.array([SIGNAL[tissue] for tissue in Tissue]) * rng.normal(1, 0.07, (len(Tissue), 3))
    table[Tissue.SCAR, 1] *= rng.uniform(0.75, 1.25)
    black = rng.random() < BLACK_BLOOD
    table[list(BLOOD), 2] *= 0.38 if black else 1.25
    table[Tissue.FAT, 2] *= 1.0 if black else 2.2
    blur = (rng.uniform(0.4, 0.7), rng.uniform(0.7, 1.2), rng.uniform(0.9, 1.5))
    noise = rng.uniform(0.02, 0.05, 3) * (0.9, 1.25, 1.4)
    coil = rng.uniform(0.5, 1.1)
    return [
        Scan(
            signal=table[:, number],
            blur_mm=blur[number],
            shift_mm=rng.normal(0, 0.6, 2) if number else np.zeros(2),
            noise=float(noise[number]),
            gamma=float(rng.uniform(0.9, 1.12)),
            gain=float(np.exp(rng.normal(np.log((475, 290, 220)[number]), 0.45))),
            coil=coil,
            slow_flow=0.3 if number == 2 and black else 0.0,
        )
        for number in range(3)
    ]


def draw_images(
    heart: Heart, tissue: NDArray[np.uint8], depth: Plane, scans: Sequence[Scan], rng: np.random.Generator
) -> list[NDArray[np.int16]]:
    """One slice in all sequences.

    Args:
        heart: its grid.
        tissue: (X, Y) `Tissue`.
        depth: through the wall, see `SliceShape`.
        scans: how each sequence is taken.
        rng: source of noise.

    Returns:
        (X, Y) int16 for each sequence.
    """
    amount = np.array([TEXTURE.get(kind, 0.06) for kind in Tissue])[tissue]
    coarse, fine = plane_noise(heart, 8, rng), plane_noise(heart, 2.6, rng)
    rim = (depth < 0) & (depth > -0.17) & (coarse > 0)
    return [_image(heart, tissue, 1 + amount * (0.6 * coarse + 0.8 * fine), rim, scan, rng) for scan in scans]


def _image(
    heart: Heart, tissue: NDArray[np.uint8], texture: Plane, rim: NDArray[np.bool_], scan: Scan,
    rng: np.random.Generator,
) -> NDArray[np.int16]:  # fmt: skip
    image = scan.signal[tissue] * np.clip(texture, 0.2, None) + scan.slow_flow * rim
    columns, rows = (np.linspace(-1, 1, extent) for extent in heart.shape)
    near_coil = np.exp(-scan.coil * (columns[:, None] ** 2 + (rows[None, :] + 0.7) ** 2)) + 0.35
    image = image * near_coil * np.exp(0.07 * plane_noise(heart, 130, rng))
    image = ndimage.gaussian_filter(image, np.hypot(0.5, scan.blur_mm / heart.pixel_mm))
    if scan.shift_mm.any():
        image = ndimage.shift(image, scan.shift_mm / heart.pixel_mm, order=1, mode="nearest")
    noisy = rician(image.astype(np.float32), scan.noise, rng)
    signal: NDArray[np.int16] = np.clip(np.rint(noisy**scan.gamma * scan.gain), 1, 32000).astype(np.int16)
    return signal
