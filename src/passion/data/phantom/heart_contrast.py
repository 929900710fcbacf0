"""What the three sequences of MyoPS2020 make of a heart: bSSFP, late gadolinium enhancement, T2."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from passion.data.phantom.heart_anatomy import Heart, Plane, plane_noise
from passion.data.phantom.heart_tissues import Tissue
from passion.data.phantom.noise import rician

BLOOD = (Tissue.LV, Tissue.RV, Tissue.VESSEL)

SIGNAL: dict[Tissue, tuple[float, float, float]] = {
    Tissue.AIR: (0.0, 0.0, 0.0),
    Tissue.LUNG: (0.07, 0.06, 0.06),
    Tissue.FAT: (0.72, 0.52, 0.30),
    Tissue.MUSCLE: (0.36, 0.20, 0.36),
    Tissue.LIVER: (0.46, 0.28, 0.34),
    Tissue.SPLEEN: (0.44, 0.30, 0.55),
    Tissue.MEDIASTINUM: (0.45, 0.33, 0.34),
    Tissue.BONE: (0.28, 0.30, 0.28),
    Tissue.VESSEL: (0.95, 0.60, 0.50),
    Tissue.LV: (1.00, 0.60, 0.62),
    Tissue.RV: (0.97, 0.64, 0.58),
    Tissue.PAPILLARY: (0.46, 0.22, 0.46),
    Tissue.MYOCARDIUM: (0.42, 0.19, 0.42),
    Tissue.EDEMA: (0.44, 0.19, 0.61),
    Tissue.SCAR: (0.43, 0.74, 0.61),
    Tissue.NO_REFLOW: (0.44, 0.27, 0.50),
    Tissue.RV_WALL: (0.42, 0.19, 0.42),
}
"""Mean signal in bSSFP, LGE and T2; the cavities' blood is brightest in bSSFP."""

UNSEEN = ((Tissue.EDEMA, 0), (Tissue.SCAR, 0), (Tissue.EDEMA, 1))
"""Tissue and number of a sequence that hardly tells it from myocardium: the two vary together."""

BLACK_BLOOD = 0.6
"""Part of the T2 images in which blood is dark and fat suppressed."""

TEXTURE = {Tissue.SCAR: 0.22, Tissue.NO_REFLOW: 0.15, Tissue.EDEMA: 0.13, Tissue.MYOCARDIUM: 0.09, Tissue.LIVER: 0.14}
"""Relative variation within a tissue; 0.06 in the others."""


SURVIVAL = (0.28, 0.34)
"""Part of a scar that is alive, and only swollen: mean and standard deviation over its pixels."""

CANCELLED = 0.6
"""Part of the signal that bSSFP loses where a pixel is half fat, half water: the two are out of phase."""

RESAMPLING_PIXELS = 0.5
"""Blur of image and noise when the scanner interpolates."""


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
        cancelled: see `CANCELLED`.
    """

    signal: NDArray[np.float32]
    blur_mm: float
    shift_mm: NDArray[np.float64]
    noise: float
    gamma: float
    gain: float
    coil: float
    slow_flow: float
    cancelled: float


def draw_scans(rng: np.random.Generator) -> list[Scan]:
    """How bSSFP, LGE and T2 of one case are taken; the labels are drawn on bSSFP's place."""
    variation = rng.normal(1, 0.07, (len(Tissue), 3))
    for tissue, sequence in UNSEEN:
        variation[tissue, sequence] = variation[Tissue.MYOCARDIUM, sequence] * rng.normal(1, 0.03)
    table = np.array([SIGNAL[tissue] for tissue in Tissue]) * variation
    table[Tissue.SCAR, 1] *= rng.uniform(0.75, 1.25)
    black = rng.random() < BLACK_BLOOD
    table[list(BLOOD), 2] *= 0.38 if black else 1.25
    table[Tissue.FAT, 2] *= 1.0 if black else 2.2
    blur = (rng.uniform(0.4, 0.7), rng.uniform(0.7, 1.2), rng.uniform(0.9, 1.5))
    noise = rng.uniform(0.03, 0.075, 3) * (0.75, 1.2, 1.4)
    coil = float(rng.uniform(0.5, 1.1))
    return [
        Scan(
            signal=table[:, number].astype(np.float32),
            blur_mm=blur[number],
            shift_mm=rng.normal(0, 0.6, 2) if number else np.zeros(2),
            noise=float(noise[number]),
            gamma=float(rng.uniform(0.9, 1.12)),
            gain=float(np.exp(rng.normal(np.log((475, 290, 220)[number]), 0.45))),
            coil=coil,
            slow_flow=0.3 if number == 2 and black else 0.0,
            cancelled=0.0 if number else CANCELLED,
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
    amount = np.array([TEXTURE.get(kind, 0.06) for kind in Tissue], dtype=np.float32)[tissue]
    coarse, fine, patches = (plane_noise(heart, correlation_mm, rng) for correlation_mm in (8, 2.6, 5))
    texture = np.clip(1 + amount * (0.6 * coarse + 0.8 * fine), 0.2, None)
    alive = np.clip(SURVIVAL[0] + SURVIVAL[1] * patches, 0, 1) * (tissue == Tissue.SCAR)
    rim = (depth < 0) & (depth > -0.17) & (coarse > 0)
    fat = ndimage.gaussian_filter((tissue == Tissue.FAT).astype(np.float32), 0.8)
    images = []
    for scan in scans:
        signal = scan.signal[tissue] * (1 - alive) + scan.signal[Tissue.EDEMA] * alive
        signal = signal * texture * (1 - 4 * scan.cancelled * fat * (1 - fat)) + scan.slow_flow * rim
        images.append(_taken(heart, signal, scan, rng))
    return images


def _taken(heart: Heart, image: Plane, scan: Scan, rng: np.random.Generator) -> NDArray[np.int16]:
    """What the scanner makes of the true signal (X, Y)."""
    columns, rows = (np.linspace(-1, 1, extent, dtype=np.float32) for extent in heart.shape)
    near_coil = np.exp(-scan.coil * (columns[:, None] ** 2 + (rows[None, :] + 0.7) ** 2)) + 0.35
    image = image * near_coil * np.exp(0.07 * plane_noise(heart, 130, rng))
    image = ndimage.gaussian_filter(image, scan.blur_mm / heart.pixel_mm)
    if scan.shift_mm.any():
        image = ndimage.shift(image, scan.shift_mm / heart.pixel_mm, order=1, mode="nearest")
    noisy = ndimage.gaussian_filter(rician(image, scan.noise, rng), RESAMPLING_PIXELS)
    signal: NDArray[np.int16] = np.clip(np.rint(noisy**scan.gamma * scan.gain), 1, 32000).astype(np.int16)
    return signal
