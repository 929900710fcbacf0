"""The peak of memory, and the time, of `passion predict` on one large case whose every voxel is foreground.

    python benchmarks/predict_memory.py [--shape 512 512 300] [--network NAME] [--options JSON] [--patch-size 80]

The network has random weights; by default it is a tiny U-Net, since memory beside the network's own is what is
measured. What follows `--` goes to `passion predict`, such as `-- --mirror`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import nibabel
import numpy as np
import torch

from passion.configuration import Configuration, DataSettings, build_network, build_objective
from passion.data.sources.brats import BRATS2020
from passion.files import write_json, write_text
from passion.networks import network_class
from passion.runs import checkpoint_path
from passion.training.settings import TrainingSettings


def write_run(out: Path, network: dict[str, object], patch_size: int) -> None:
    """A run folder with random weights."""
    objective = {"name": "baseline"}
    data = DataSettings(Path("unknown"), Path("unknown"), patch_size=patch_size)
    torch.manual_seed(0)
    built = build_network(network, BRATS2020, patch_size, build_objective(objective, np.ones(4)))
    checkpoint_path(out, "last").parent.mkdir(parents=True)
    write_text(out / "config.yaml", Configuration(data, TrainingSettings(), network, objective).to_yaml())
    write_json(out / "study.json", BRATS2020.to_dict())
    state = {f"network.{name}": value for name, value in built.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 0}, checkpoint_path(out, "last"))


def write_images(folder: Path, shape: tuple[int, ...]) -> list[str]:
    """One int16 file a modality, compressed, without a zero; returns the options that name them."""
    words = []
    tile = np.random.default_rng(0).integers(1, 1000, [min(64, extent) for extent in shape], dtype=np.int16)
    voxels = np.tile(tile, [-(-extent // 64) for extent in shape])[tuple(slice(extent) for extent in shape)]
    for modality in BRATS2020.modalities:
        path = folder / f"{modality}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
        words += [f"--{modality}", str(path)]
    return words


def main() -> None:
    """Write, predict, print a line of JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 512, 300])
    parser.add_argument("--network", default="early_fusion")
    parser.add_argument("--options", type=json.loads, help="of the network, as JSON; by default they make it tiny")
    parser.add_argument("--patch-size", type=int, default=80)
    parser.add_argument("more", nargs="*", help="options of passion predict")
    arguments = parser.parse_args()
    options = dict(network_class(arguments.network).TINY) if arguments.options is None else arguments.options
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder / "run", {"name": arguments.network, **options}, arguments.patch_size)
        words = write_images(folder, tuple(arguments.shape))
        command = [sys.executable, "-m", "passion.cli", "predict", str(folder / "run"), *words, *arguments.more]
        start = time.perf_counter()
        subprocess.run([*command, "-o", str(folder / "out.nii.gz")], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    peak_gb = getrusage(RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(json.dumps({**vars(arguments), "options": options, "peak_gb": round(peak_gb, 2), "seconds": round(seconds)}))


if __name__ == "__main__":
    main()
