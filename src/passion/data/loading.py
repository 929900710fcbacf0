"""From the prepared study to batches: patches for training, whole cases for scoring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from passion.data.augment import Augmentation, AugmentationSettings, augment, draw_augmentation
from passion.data.boxes import Box
from passion.data.store import PreparedCase, PreparedStudy
from passion.errors import InputError
from passion.missingness import SLICE_MARK, Presence

Setting = Literal["idt", "pdt"]
"""Imperfect data training: a missing modality stays invisible. Perfect: all are there, a random subset is fed."""


@dataclass(frozen=True)
class Batch:
    """What an objective gets.

    Args:
        images: (B, M, *space) float32; 0 where a modality is absent.
        present: (B, M) bool, the modalities that may be encoded. On the CPU, so that rows can be picked without
            waiting for a device.
        fed: (B, M) bool, inside `present`: what the teacher sees.
        target: (B, *space) int64 class indices.
        augmentations: what is still to be done to each sample; none: nothing.
    """

    images: Tensor
    present: Tensor
    fed: Tensor
    target: Tensor
    augmentations: tuple[Augmentation, ...] = ()

    @property
    def every_case(self) -> Tensor:
        """Row numbers (B,) int64."""
        return torch.arange(len(self.present))

    def pin_memory(self) -> "Batch":
        """The same in memory from which a GPU copies while the step goes on; called by the loader."""
        return replace(self, images=self.images.pin_memory(), target=self.target.pin_memory())

    def to(self, device: torch.device) -> "Batch":
        """Images and target on `device`, the masks where they are."""
        images, target = (tensor.to(device, non_blocking=True) for tensor in (self.images, self.target))
        return replace(self, images=images, target=target)

    def augmented(self) -> "Batch":
        """The batch with nothing left to be done, worked out where its images are."""
        if not self.augmentations:
            return self
        done = [
            augment(*sample) for sample in zip(self.images, self.target, self.present, self.augmentations, strict=True)
        ]
        images, target = (torch.stack(tensors) for tensors in zip(*done, strict=True))
        return replace(self, images=images, target=target, augmentations=())


Crop = Literal["random", "centre"]
"""Where in a case's box a patch is taken."""


@dataclass(frozen=True)
class PatchSettings:
    """How patches are drawn.

    Args:
        size: extent along each spatial axis; of two, a patch is of one slice along the last axis.
        crop: where in the case's box.
        setting: "idt" or "pdt".
        augmentation: None: none.
        seed: of everything random.
    """

    size: tuple[int, ...]
    crop: Crop
    setting: Setting
    augmentation: AugmentationSettings | None
    seed: int


class EpochSampler(Sampler[tuple[int, int, int]]):
    """The order of the cases: shuffled anew each epoch, from the seed and the epoch alone.

    Yields (epoch, position in the epoch, case index), so that what is drawn for a sample depends on nothing else:
    not on the worker, nor on what came before.

    Args:
        cases: how many there are.
        samples: an epoch's number of samples over all processes; None: each case once.
        seed: of the order.
        rank: of this process.
        processes: each takes every `processes`-th sample, as many as the others: an epoch that cannot be shared out
            evenly is filled up from a further permutation.
    """

    def __init__(self, cases: int, samples: int | None, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.cases = cases
        self.total = samples or cases
        self.seed = seed
        self.rank = rank
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the training loop before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.total // self.processes)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        needed = len(self) * self.processes
        rounds = -(-needed // self.cases)
        order = np.concatenate([random.permutation(self.cases) for _ in range(rounds)])[:needed]
        for position in range(self.rank, needed, self.processes):
            yield self.epoch, position, int(order[position])


@dataclass(frozen=True)
class TrainingItem:
    """What a patch is taken of.

    Args:
        case: name.
        row: of the presence matrix.
        position: of the slice along the last axis; None: the volume.
    """

    case: str
    row: int
    position: int | None


def training_items(prepared: PreparedStudy, presence: Presence, spatial_dims: int) -> list[TrainingItem]:
    """Each case, or in 2D each slice of its box.

    A row of the presence matrix is a case's, or a single slice's where it is named `CASE_slice_POSITION`.

    Raises:
        InputError: rows of slices where volumes are trained on.
    """
    if spatial_dims == 3:
        slices = [name for name in presence.cases if SLICE_MARK in name]
        if slices:
            raise InputError(f"--data.presence: {slices[0]!r} is a slice; train on slices with --data.spatial_dims 2")
        return [TrainingItem(name, row, None) for row, name in enumerate(presence.cases)]
    items = []
    for row, name in enumerate(presence.cases):
        case, _, position = name.partition(SLICE_MARK)
        if position:
            items.append(TrainingItem(case, row, int(position)))
        else:
            box = prepared.case(name).box(presence.of(name))
            items += [TrainingItem(name, row, position) for position in range(box.start[-1], box.stop[-1])]
    return items


class TrainingPatches(Dataset[Batch]):
    """A random patch of each case or slice, augmented; items are asked for by what `EpochSampler` yields.

    Args:
        prepared: the study.
        presence: the training cases and which modalities they have in this run; no other file is opened.
        settings: how patches are drawn.
    """

    def __init__(self, prepared: PreparedStudy, presence: Presence, settings: PatchSettings) -> None:
        self.prepared = prepared
        self.presence = presence
        self.settings = settings
        self.items = training_items(prepared, presence, len(settings.size))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        epoch, position, index = key
        random = np.random.default_rng([self.settings.seed, epoch, position])
        item = self.items[index]
        case = self.prepared.case(item.case)
        present = torch.from_numpy(self.presence.matrix[item.row])
        box = case.box(self.presence.of(self.presence.cases[item.row]))
        window = draw_window(box, self.settings.size, random, self.settings.crop)
        if item.position is not None:
            window = Box((*window.start, item.position), (*window.stop, item.position + 1))
        images = read_images(case, self.presence.modalities, present, window)
        target = torch.from_numpy(case.read_target(window)).long()
        if item.position is not None:
            images, target = images[..., 0], target[..., 0]
        draws: tuple[Augmentation, ...] = ()
        if self.settings.augmentation is not None:
            draws = (draw_augmentation(self.settings.augmentation, target.ndim, len(present), random),)
        fed = draw_fed(len(present), random) if self.settings.setting == "pdt" else present
        return Batch(images[None], present[None], fed[None], target[None], draws)


def read_images(case: PreparedCase, modalities: Sequence[str], present: Tensor, window: Box) -> Tensor:
    """Images (M, *window) float32 of the present modalities; 0 for the others, whose files stay closed."""
    images = np.zeros((len(modalities), *window.shape), dtype=np.float32)
    for index in present.nonzero().flatten().tolist():
        images[index] = case.read_image(modalities[index], window)
    return torch.from_numpy(images)


def draw_window(box: Box, size: Sequence[int], random: np.random.Generator, crop: Crop = "random") -> Box:
    """A window of `size` anywhere inside `box`; centred on it with crop "centre" and where the box is smaller.

    Axes of `box` beyond those of `size` are left out.
    """
    start = []
    for low, extent, wanted in zip(box.start, box.shape, size, strict=False):
        spare = extent - wanted
        start.append(low + (int(random.integers(spare + 1)) if spare > 0 and crop == "random" else spare // 2))
    return Box(tuple(start), tuple(a + b for a, b in zip(start, size, strict=True)))


def draw_fed(modalities: int, random: np.random.Generator) -> Tensor:
    """One of the 2^M - 1 non-empty subsets, each as likely: (M,) bool."""
    code = int(random.integers(1, 2**modalities))
    return torch.tensor([bool(code >> modality & 1) for modality in range(modalities)])


def collate(batches: Sequence[Batch]) -> Batch:
    """One batch of several."""
    return Batch(
        torch.cat([batch.images for batch in batches]),
        torch.cat([batch.present for batch in batches]),
        torch.cat([batch.fed for batch in batches]),
        torch.cat([batch.target for batch in batches]),
        tuple(draw for batch in batches for draw in batch.augmentations),
    )


def collate_and_augment(batches: Sequence[Batch]) -> Batch:
    """One batch of several, with nothing left to be done."""
    return collate([batch.augmented() for batch in batches])


def training_loader(
    patches: TrainingPatches,
    batch_size: int,
    samples: int | None,
    workers: int,
    rank: int = 0,
    processes: int = 1,
    epoch: int = 0,
    gpu: bool = False,
) -> DataLoader[Batch]:
    """Batches of training patches; see `EpochSampler` for `samples`, `rank` and `processes`.

    Where no `gpu` trains, the workers augment, beside the step; where one does, they leave it to be done there. They
    are asked for the first batches before the loop tells the sampler which epoch it is, so `epoch` is the one to begin
    with.
    """
    sampler = EpochSampler(len(patches), samples, patches.settings.seed, rank, processes)
    sampler.set_epoch(epoch)
    return DataLoader(
        patches,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate if gpu else collate_and_augment,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=gpu,
    )
