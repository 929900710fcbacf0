"""One thing to measure, in a process of its own, so that neither memory nor allocator of another comes in.

    python benchmarks/workloads.py ROW

Lines on standard input are requests: `measure` does the work once and answers with its seconds (with the peak of memory
in GB for the rows of memory), `peak` with the most memory held so far, in GB, and `limit` with the least that `measure`
could answer on this machine. `speed.py` is what asks.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from unittest.mock import patch

import numpy as np
import torch
from hd95 import blob
from medpy.metric import binary
from monai.data.utils import dense_patch_slices
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from passion.allocator import keep_freed_memory
from passion.data.augment import AugmentationSettings
from passion.data.loading import Batch, PatchSettings, TrainingPatches, training_loader
from passion.data.sources.brats import BRATS2020
from passion.data.store import PreparedStudy
from passion.evaluation.metrics import surface_scores
from passion.evaluation.scoring import region_truth, score
from passion.inference import segment
from passion.missingness import Presence
from passion.networks import all_subsets, build
from passion.networks import convolution as convolutions
from passion.objectives import objective_class
from passion.training.module import TrainingModule
from passion.training.settings import TrainingSettings

PATCH = 80
MODALITIES = len(BRATS2020.modalities)
CASE_SHAPE = (140, 170, 140)
LARGE = 40
"""Edge of the volume on which the ceiling of convolutions is measured, 64 channels in and out."""


@dataclass(frozen=True)
class Machine:
    """Where to compute.

    Args:
        device: of PyTorch.
        threads: on a CPU.
    """

    device: torch.device
    threads: int

    def seconds(self, work: Callable[[], object]) -> float:
        """How long `work` takes, until the device is done with it."""
        self.wait()
        start = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - start

    def wait(self) -> None:
        """Until nothing is under way."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def best_of(self, work: Callable[[], object], times: int = 7) -> float:
        """Seconds of the fastest of some calls, after one to warm up."""
        work()
        return min(self.seconds(work) for _ in range(times))

    def autocast(self, precision: str) -> torch.autocast:
        """The context of `precision`, fp32 or bf16."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16")

    def peak_gb(self) -> float:
        """Most memory that was ever held."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        return getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@dataclass(frozen=True)
class Ceilings:
    """What this machine does at its best: operations and bytes a second."""

    convolution: float
    product: float
    copy: float

    @classmethod
    def measure(cls, machine: Machine, precision: str) -> "Ceilings":
        """64 -> 64 channels at 40^3, channels last; a product of 2048^2 matrices; a copy of 256 MB (read and write)."""
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        images = torch.randn(1, 64, LARGE, LARGE, LARGE, device=machine.device, dtype=dtype)
        images = images.contiguous(memory_format=torch.channels_last_3d)
        kernel = torch.randn(64, 64, 3, 3, 3, device=machine.device, dtype=dtype)
        matrix = torch.randn(2048, 2048, device=machine.device, dtype=dtype)
        source = torch.randn(2**26, device=machine.device)
        target = torch.empty_like(source)
        with torch.inference_mode():
            convolution_s = machine.best_of(lambda: torch.conv3d(images, kernel, padding=1))
            product_s = machine.best_of(lambda: matrix @ matrix)
            copy_s = machine.best_of(lambda: target.copy_(source))
        return cls(2 * 27 * 64 * 64 * LARGE**3 / convolution_s, 2 * 2048**3 / product_s, 2 * source.nbytes / copy_s)

    def seconds(self, work: "Needs") -> float:
        """What the work takes at the ceiling, one after the other."""
        return work.convolution / self.convolution + work.product / self.product + work.bytes / self.copy


@dataclass(frozen=True)
class Needs:
    """Operations in convolutions and in matrix products, and bytes that must be written and read again."""

    convolution: float
    product: float
    bytes: float

    @classmethod
    def count(cls, work: Callable[[], object], bytes_moved: float) -> "Needs":
        """Count the operations of `work`, convolutions as the network asks for them."""
        plain = {"LANES": 0, "_onednn": F.conv3d}
        with patch.multiple(convolutions, **plain), FlopCounterMode(display=False) as counter:
            work()
        counts = counter.get_flop_counts()["Global"]
        total = sum(counts.values())
        convolution = sum(number for name, number in counts.items() if "convolution" in str(name))
        return cls(convolution, total - convolution, bytes_moved)


class Workload:
    """What a row measures; the other rows derive from it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def measure(self) -> float:
        """Once."""
        return self.machine.seconds(self.work)

    def work(self) -> object:
        """What is timed."""
        raise NotImplementedError

    def limit(self) -> float:
        """The least that `measure` could answer; not a number where no limit is known."""
        return float("nan")


def nested_cubes(batch: int, patch: int) -> Tensor:
    """Labels of the four classes, (batch, patch, patch, patch)."""
    labels = torch.zeros(batch, patch, patch, patch, dtype=torch.int64)
    for value, part in ((2, 1 / 4), (1, 3 / 8), (3, 7 / 16)):
        low = round(part * patch)
        labels[:, low:-low, low:-low, low:-low] = value
    return labels


class Step(Workload):
    """A training step on a ready batch, the optimiser included.

    Args:
        machine: where.
        network: name.
        objective: name.
        precision: fp32 or bf16.
        present: how many of the four modalities the patch has.
        recompute: activation checkpointing.
        patch: its extent along each axis.
        batch: how many patches.
    """

    def __init__(
        self,
        machine: Machine,
        network: str,
        objective: str,
        precision: str,
        present: int = 2,
        recompute: bool = False,
        patch: int = PATCH,
        batch: int = 1,
    ) -> None:
        super().__init__(machine)
        torch.manual_seed(0)
        self.precision = precision
        goal = objective_class(objective)(torch.ones(MODALITIES))
        built = build(
            network,
            modalities=MODALITIES,
            classes=4,
            patch_size=patch,
            unimodal_decoder=goal.needs_unimodal_decoder,
        )
        if recompute:
            built.recompute_activations()
        self.module = TrainingModule(built, goal, BRATS2020, TrainingSettings(preference_every=0)).to(machine.device)
        self.optimizer = self.module.configure_optimizers()
        mask = torch.zeros(batch, MODALITIES, dtype=torch.bool)
        mask[:, [0, 2, 1, 3][:present]] = True
        images = torch.randn(batch, MODALITIES, patch, patch, patch) * mask[..., None, None, None]
        self.batch = Batch(images, mask, mask, nested_cubes(batch, patch)).to(machine.device)

    def learn(self, batch: Batch) -> None:
        """One step on `batch`."""
        with self.machine.autocast(self.precision):
            loss = self.module.training_step(batch, 0)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def work(self) -> None:
        """See `Workload`."""
        self.learn(self.batch)

    def kept_bytes(self) -> int:
        """What the forward pass keeps for the backward pass, each storage once, parameters not counted."""
        parameters = {parameter.untyped_storage().data_ptr() for parameter in self.module.parameters()}
        kept: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with (
            torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
            self.machine.autocast(self.precision),
        ):
            loss = self.module.training_step(self.batch, 0)
        del loss
        return sum(kept.values())

    def trained_bytes(self) -> int:
        """Of the parameters that get a gradient."""
        return sum(parameter.nbytes for parameter in self.module.parameters() if parameter.grad is not None)

    def limit(self) -> float:
        """Every operation at the ceiling; what is kept is written and read once, the optimiser's state too.

        AdamW with AMSGrad reads parameter, gradient and three moments, and writes parameter and moments.
        """
        self.work()
        moved = 2 * self.kept_bytes() + 9 * self.trained_bytes()
        return Ceilings.measure(self.machine, self.precision).seconds(Needs.count(self.work, moved))


class Memory(Step):
    """The peak of a step, in GB."""

    def measure(self) -> float:
        """See `Workload`."""
        self.work()
        return self.machine.peak_gb()

    def limit(self) -> float:
        """What is kept for the backward pass, and parameters, gradients and three moments."""
        self.work()
        return (self.kept_bytes() + 5 * self.trained_bytes()) / 1e9


class Window(Workload):
    """All 15 subsets of one window of 80^3 with mmFormer.

    Args:
        machine: where.
        precision: fp32 or bf16.
        shape: of the images; larger ones are covered by windows.
    """

    def __init__(self, machine: Machine, precision: str, shape: tuple[int, ...] = (PATCH, PATCH, PATCH)) -> None:
        super().__init__(machine)
        torch.manual_seed(0)
        self.precision = precision
        built = build("mmformer", modalities=MODALITIES, classes=4, patch_size=PATCH)
        self.network = built.eval().requires_grad_(False).to(machine.device)
        self.images = torch.randn(1, MODALITIES, *shape, device=machine.device)

    def work(self) -> object:
        """See `Workload`."""
        everything = torch.ones(1, MODALITIES, dtype=torch.bool)
        with self.machine.autocast(self.precision):
            return segment(self.network, self.images, everything, all_subsets(MODALITIES))

    def limit(self) -> float:
        """Every operation at the ceiling; the class probabilities written and read once."""
        subsets = 2**MODALITIES - 1
        moved = 2.0 * subsets * 4 * 4 * self.images[0, 0].numel()
        return Ceilings.measure(self.machine, self.precision).seconds(Needs.count(self.work, moved))


def tumour(shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    """Nested rough balls of the tumour's classes; another seed gives another prediction of the same tumour."""
    random = np.random.default_rng(seed)
    centre = tuple(size // 2 + int(random.integers(-2, 3)) for size in shape)
    labels = np.zeros(shape, dtype=np.uint8)
    for value, radius in ((2, 32), (1, 22), (3, 16)):
        labels[blob(random, shape, centre, radius_mm=radius, rough_mm=4)] = value
    return labels


class Case(Window):
    """All 15 subsets of a case of 140 x 170 x 140, and every metric of every region of each."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, "fp32", CASE_SHAPE)
        self.reference, self.prediction = tumour(CASE_SHAPE, 0), tumour(CASE_SHAPE, 1)

    def work(self) -> object:
        """See `Workload`; a network that is not trained finds no tumour, so what is scored is not what it answers."""
        answers = super().work()
        for name, region in BRATS2020.regions.items():
            classes = BRATS2020.region_classes(name)
            truth = region_truth(self.reference, classes, region.minimum_mm3, (1.0, 1.0, 1.0))
            for _ in range(2**MODALITIES - 1):
                score(self.prediction, truth)
        return answers

    def limit(self) -> float:
        """That of a window, times the windows; the metrics are not counted."""
        windows = dense_patch_slices(CASE_SHAPE, (PATCH,) * 3, (PATCH // 2,) * 3)
        return len(windows) * Window(self.machine, self.precision).limit()


class Distance(Workload):
    """HD95 of a tumour on BraTS's grid: ours gives three readings."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.reference, self.prediction = (tumour((240, 240, 155), seed) > 0 for seed in (0, 1))

    def work(self) -> object:
        """See `Workload`."""
        return surface_scores(self.prediction, self.reference, (1.0, 1.0, 1.0))


class MedpyDistance(Distance):
    """The same by medpy: one reading."""

    def work(self) -> object:
        """See `Workload`."""
        return binary.hd95(self.prediction, self.reference, voxelspacing=(1.0, 1.0, 1.0))


class Loading(Step):
    """Seconds a step with patches that are read, cropped and augmented while the step before is under way."""

    WORKERS, PREFETCHED, STEPS = 1, 2, 6

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, "mmformer", "passion", "bf16")
        self.folder = tempfile.TemporaryDirectory()
        raw, prepared = Path(self.folder.name) / "raw", Path(self.folder.name) / "prepared"
        for words in (["phantom", "brain", raw, "--cases", 2, "--size", "full"], ["prepare", raw, prepared]):
            subprocess.run([sys.executable, "-m", "passion.cli", *map(str, words)], check=True, stdout=sys.stderr)
        study = PreparedStudy.open(prepared)
        matrix = self.batch.present.expand(len(study.cases), -1).numpy()
        presence = Presence(study.cases, study.study.modalities, matrix)
        settings = PatchSettings((PATCH,) * 3, "random", "idt", AugmentationSettings(), seed=0)
        patches = TrainingPatches(study, presence, settings)
        loader = training_loader(patches, 1, 100_000, self.WORKERS, gpu=machine.device.type == "cuda")
        self.batches: Iterator[Batch] = iter(loader)

    def measure(self) -> float:
        """See `Workload`; what was loaded between two measurements is thrown away first."""
        for _ in range(self.WORKERS * self.PREFETCHED):
            next(self.batches)
        self.learn(next(self.batches).to(self.machine.device))
        return self.machine.seconds(self.some_steps) / self.STEPS

    def some_steps(self) -> None:
        """The steps that are timed together."""
        for _ in range(self.STEPS):
            self.learn(next(self.batches).to(self.machine.device))

    def limit(self) -> float:
        """A step on a ready batch."""
        self.work()
        return min(self.machine.seconds(self.work) for _ in range(3))


class StartUp(Workload):
    """`passion --help`."""

    def work(self) -> object:
        """See `Workload`."""
        return subprocess.run([Path(sys.executable).parent / "passion", "--help"], check=True, capture_output=True)

    def limit(self) -> float:
        """Python that does nothing."""
        return self.machine.best_of(lambda: subprocess.run([sys.executable, "-c", ""], check=True))


class HalfASecond(Workload):
    """What a start may take."""

    def measure(self) -> float:
        """See `Workload`."""
        return 0.5


NETWORKS = ("mmformer", "rfnet", "m2ftrans")

WORKLOADS: dict[str, Callable[[Machine], Workload]] = {
    **{f"{name}-passion-fp32": lambda machine, name=name: Step(machine, name, "passion", "fp32") for name in NETWORKS},
    **{f"{name}-passion-bf16": lambda machine, name=name: Step(machine, name, "passion", "bf16") for name in NETWORKS},
    "mmformer-passion-fp32-one": lambda machine: Step(machine, "mmformer", "passion", "fp32", 1),
    "mmformer-passion-fp32-three": lambda machine: Step(machine, "mmformer", "passion", "fp32", 3),
    "mmformer-passion-fp32-all4": lambda machine: Step(machine, "mmformer", "passion", "fp32", 4),
    **{
        f"{name}-baseline-fp32": lambda machine, name=name: Step(machine, name, "baseline", "fp32") for name in NETWORKS
    },
    "subsets-window-fp32": lambda machine: Window(machine, "fp32"),
    "subsets-window-bf16": lambda machine: Window(machine, "bf16"),
    "case-15-subsets": Case,
    "hd95-medpy": Distance,
    "memory-fp32": lambda machine: Memory(machine, "mmformer", "passion", "fp32"),
    "memory-bf16": lambda machine: Memory(machine, "mmformer", "passion", "bf16"),
    "mmformer-passion-fp32-recompute": lambda machine: Step(machine, "mmformer", "passion", "fp32", recompute=True),
    "memory-fp32-recompute": lambda machine: Memory(machine, "mmformer", "passion", "fp32", recompute=True),
    "memory-bf16-recompute": lambda machine: Memory(machine, "mmformer", "passion", "bf16", recompute=True),
    **{
        f"mmformer-passion-bf16-patch{size}": lambda machine, size=size: Step(
            machine, "mmformer", "passion", "bf16", patch=size
        )
        for size in (64, 96, 112, 128)
    },
    "mmformer-passion-bf16-batch2": lambda machine: Step(machine, "mmformer", "passion", "bf16", batch=2),
    "loader": Loading,
    "start-up": StartUp,
}
"""Rows by name."""

COUNTERPARTS: dict[str, Callable[[Machine], Workload]] = {
    "hd95-medpy": MedpyDistance,
    "loader": lambda machine: Step(machine, "mmformer", "passion", "bf16"),
    "start-up": HalfASecond,
}
"""What a row is compared with where that is not the published code."""


def main() -> None:
    """Answer requests until the input ends."""
    parser = argparse.ArgumentParser(description="one row of the benchmark, asked through standard input")
    parser.add_argument("row", choices=WORKLOADS)
    parser.add_argument("--counterpart", action="store_true", help="what the row is compared with")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    keep_freed_memory()
    torch.set_num_threads(asked.threads)
    kinds = COUNTERPARTS if asked.counterpart else WORKLOADS
    machine = Machine(torch.device(asked.device), asked.threads)
    workload = kinds[asked.row](machine)
    for request in sys.stdin:
        answer = {"measure": workload.measure, "peak": machine.peak_gb, "limit": workload.limit}[request.strip()]
        print(answer(), file=answers)


if __name__ == "__main__":
    main()
