"""Ways to keep a prepared case on disk: how large, and how many training patches a second can be cut out of it.

    python benchmarks/storage.py PREPARED [--patches 200]

PREPARED is a folder that `passion prepare` wrote. A patch is what the training loader reads: 80^3 voxels of two
modalities and of the labels, anywhere in the case. "Cached" is what the operating system still has in memory; for "from
disk" it is told to forget the files before each patch. One thread. Writes `results/storage.csv`.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from passion.data.boxes import Box
from passion.data.loading import draw_window
from passion.data.store import PreparedCase, PreparedStudy
from passion.files import replacing

PATCH = (80, 80, 80)
CHUNK = (40, 40, 40)
MODALITIES = 2

Read = Callable[[Path, tuple[slice, ...]], NDArray[np.generic]]
Write = Callable[[Path, NDArray[np.generic]], None]


def write_zarr(path: Path, voxels: NDArray[np.generic]) -> None:
    """Chunks of 40^3, Zstandard after shuffling bytes."""
    codec = zarr.codecs.BloscCodec(cname="zstd", clevel=5, shuffle="shuffle")
    stored = zarr.create_array(
        path, shape=voxels.shape, chunks=tuple(np.minimum(CHUNK, voxels.shape)), dtype=voxels.dtype, compressors=codec
    )
    stored[:] = voxels


def write_blosc2(path: Path, voxels: NDArray[np.generic]) -> None:
    """Chunks of 40^3, Zstandard after shuffling bytes."""
    chunks = tuple(int(size) for size in np.minimum(CHUNK, voxels.shape))
    parameters = blosc2.CParams(codec=blosc2.Codec.ZSTD, clevel=5, nthreads=1)
    blosc2.asarray(np.ascontiguousarray(voxels), urlpath=str(path), chunks=chunks, cparams=parameters, mode="w")


def read_compressed(path: Path, window: tuple[slice, ...]) -> NDArray[np.generic]:
    """All of the case, then the window."""
    with np.load(path) as stored:
        voxels: NDArray[np.generic] = stored["voxels"][window]
    return voxels


FORMATS: dict[str, tuple[Write, Read]] = {
    "npy, memory-mapped": (np.save, lambda path, window: np.array(np.load(path, mmap_mode="r")[window])),
    "npz, compressed": (lambda path, voxels: np.savez_compressed(path, voxels=voxels), read_compressed),
    "zarr": (write_zarr, lambda path, window: np.asarray(zarr.open_array(path, mode="r")[window])),
    "blosc2": (
        write_blosc2,
        lambda path, window: np.asarray(blosc2.open(str(path), mode="r", dparams={"nthreads": 1})[window]),
    ),
}
SUFFIX = {"npy, memory-mapped": ".npy", "npz, compressed": ".npz", "zarr": ".zarr", "blosc2": ".b2nd"}


def whole_arrays(case: PreparedCase) -> dict[str, NDArray[np.generic]]:
    """Images and labels in the case's box, by name."""
    box = case.box(list(case.boxes))
    return {**{name: case.read_image(name, box) for name in case.boxes}, "target": case.read_target(box)}


def files_of(path: Path) -> list[Path]:
    """The files that make up an array."""
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def forget(path: Path) -> None:
    """Drop an array's files from the cache of the operating system."""
    for file in files_of(path):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measure(name: str, cases: list[dict[str, NDArray[np.generic]]], folder: Path, patches: int) -> dict[str, object]:
    """Size and speed of one format; every patch is compared with the array that it was cut out of."""
    write, read = FORMATS[name]
    paths = [{part: folder / f"{number}-{part}{SUFFIX[name]}" for part in case} for number, case in enumerate(cases)]
    for case, own in zip(cases, paths, strict=True):
        for part, voxels in case.items():
            write(own[part], voxels)
    size = sum(file.stat().st_size for own in paths for path in own.values() for file in files_of(path))
    seconds = {"cached": 0.0, "from disk": 0.0}
    for kind in seconds:
        random = np.random.default_rng(0)
        for _ in range(patches):
            number = int(random.integers(len(cases)))
            case, own = cases[number], paths[number]
            parts = [*list(own)[:MODALITIES], "target"]
            window = draw_window(Box.whole(case["target"].shape), PATCH, random)
            cut = tuple(slice(max(a, 0), b) for a, b in zip(window.start, window.stop, strict=True))
            if kind == "from disk":
                for part in parts:
                    forget(own[part])
            start = time.perf_counter()
            got = [read(own[part], cut) for part in parts]
            seconds[kind] += time.perf_counter() - start
            assert all(np.array_equal(voxels, case[part][cut]) for voxels, part in zip(got, parts, strict=True))
    speeds = {f"patches/s {kind}": round(patches / taken, 1) for kind, taken in seconds.items()}
    return {"format": name, "MB a case": round(size / 1e6 / len(cases), 1), **speeds}


def main() -> None:
    """Measure every format and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--patches", type=int, default=200)
    asked = parser.parse_args()
    study = PreparedStudy.open(asked.prepared)
    cases = [whole_arrays(study.case(name)) for name in study.cases]
    rows = []
    for name in FORMATS:
        with tempfile.TemporaryDirectory(dir=asked.prepared.parent) as folder:
            rows.append(measure(name, cases, Path(folder), asked.patches))
    table = pd.DataFrame(rows)
    with replacing(Path(__file__).parent / "results/storage.csv") as beside:
        table.to_csv(beside, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
