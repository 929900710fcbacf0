"""Random fields of a given correlation length, and random numbers that cover their range evenly."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Field = NDArray[np.float32]
"""One value a voxel, shape (X, Y, Z)."""

SPACING_PER_CORRELATION = 0.75
"""Distance of the control points, as a part of the correlation length."""

BASIS_POWER = 151 / 315
"""Mean over one knot of the sum of the squared cubic B-spline weights: the variance that one axis keeps."""


def spline_basis(count: int, spacing: float, offset: float) -> NDArray[np.float32]:
    """Cubic B-spline weights of the control points at `count` positions, shape (count, control points).

    Args:
        count: number of positions, 0, 1, ...
        spacing: distance between control points, in positions.
        offset: where position 0 lies between two control points, in [0, 1).
    """
    position = np.arange(count) / spacing + offset
    first = np.floor(position).astype(np.int64)
    u = position - first
    weights = np.zeros((count, int(first[-1]) + 4), dtype=np.float32)
    row = np.arange(count)
    weights[row, first] = (1 - u) ** 3 / 6
    weights[row, first + 1] = (3 * u**3 - 6 * u**2 + 4) / 6
    weights[row, first + 2] = (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6
    weights[row, first + 3] = u**3 / 6
    return weights


def smooth_noise(
    shape: tuple[int, int, int], correlation_mm: float, voxel_mm: float, rng: np.random.Generator
) -> Field:
    """Gaussian noise of mean 0 and variance 1 that varies over about `correlation_mm`.

    Independent normal values on a coarse lattice with a random origin, interpolated with cubic B-splines: one
    small matrix product an axis, whatever the correlation length. The lattice is never finer than the voxels.

    >>> field = smooth_noise((40, 40, 40), 8.0, 2.0, np.random.default_rng(0))
    >>> bool(abs(field.std() - 1) < 0.1)
    True
    """
    spacing = max(correlation_mm * SPACING_PER_CORRELATION / voxel_mm, 1.0)
    x, y, z = (spline_basis(count, spacing, rng.random()) for count in shape)
    control = rng.standard_normal((x.shape[1], y.shape[1], z.shape[1]), dtype=np.float32)
    control /= np.float32(BASIS_POWER**1.5)
    planes = np.tensordot(x, control, axes=(1, 0))
    field: Field = np.matmul(y, planes) @ z.T
    return field


def smooth_plane(
    shape: tuple[int, int], correlation_mm: float, pixel_mm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """As `smooth_noise`, in two dimensions; by sparse products, which do not depend on the number of threads.

    >>> plane = smooth_plane((200, 200), 8.0, 2.0, np.random.default_rng(0))
    >>> bool(abs(plane.std() - 1) < 0.1)
    True
    """
    spacing = max(correlation_mm * SPACING_PER_CORRELATION / pixel_mm, 1.0)
    x, y = (sparse.csr_array(spline_basis(count, spacing, rng.random())) for count in shape)
    control = rng.standard_normal((x.shape[1], y.shape[1]), dtype=np.float32)
    plane: NDArray[np.float32] = (y @ (x @ (control / np.float32(BASIS_POWER))).T).T
    return np.ascontiguousarray(plane)


def rician(image: NDArray[np.float32], sd: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Magnitude of `image` after complex Gaussian noise of standard deviation `sd`: |image + n1 + i n2|."""
    real = image + np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32)
    magnitude: NDArray[np.float32] = np.hypot(real, imaginary)
    return magnitude


def even_uniforms(seed: int, index: int, dims: int) -> NDArray[np.float64]:
    """Point `index` of a sequence that fills the unit cube evenly, shifted by `seed`; shape (dims,).

    Each point alone is uniform over the seeds; the first N points together leave no part of the cube empty,
    so that a study of few cases resembles the population. Additive recurrence on the powers of the
    generalised golden ratio, x^(dims + 1) = x + 1 (Roberts 2018, "The unreasonable effectiveness of
    quasirandom sequences").

    >>> sorted(int(4 * even_uniforms(0, index, 1)[0]) for index in range(4))
    [0, 1, 2, 3]
    """
    ratio = 2.0
    for _ in range(40):
        ratio = (1 + ratio) ** (1 / (dims + 1))
    shift = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))).random(dims)
    return (shift + (index + 1) * ratio ** -np.arange(1.0, dims + 1)) % 1.0
