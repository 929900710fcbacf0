"""A case from files or arrays to a segmentation."""

import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passion.allocator import give_back_freed_memory
from passion.data.boxes import Box, copy_overlap, put_back, union_of
from passion.data.inspection import remarks_on_background
from passion.data.loading import Crop
from passion.data.nifti import open_nifti
from passion.data.prepare import image_on, normalise, study_grid
from passion.data.regridding import with_geometry
from passion.data.resampling import Grid
from passion.data.study import Channel, Study, file_of
from passion.data.volumes import Volume, check_same_grid, read_image
from passion.data.whole_cases import seen_box
from passion.errors import InputError
from passion.evaluation.subsets import subset_name
from passion.files import naming
from passion.inference import PUBLISHED, InferenceSettings, choose_device, infer_parts, most_likely
from passion.runs import CheckpointName, TrainedRun, load_run
from passion.segmentation import Segmentation, check_nifti_name

Image = Path | str | Channel | NDArray[Any]
"""A modality: a NIfTI file, a volume of a 4D one, or voxels (X, Y, Z)."""

Room = Callable[[tuple[int, ...]], NDArray[np.float32]]
"""Makes the array, of the shape that it is given, in which probabilities are kept."""


def _in_memory(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.empty(shape, dtype=np.float32)


def _in_file(file: IO[bytes]) -> Room:
    def room(shape: tuple[int, ...]) -> NDArray[np.float32]:
        # A page that finds no place on the disk when it is written to would end the process without a word.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, math.prod(shape) * np.dtype(np.float32).itemsize)
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)

    return room


@dataclass(frozen=True)
class StackedCase:
    """A case as networks read it.

    Args:
        images: (1, M, *box) float32, zeros where a modality is absent.
        present: (1, M) bool.
        reference: the modality whose grid a result is on.
        own_grid: that grid.
        grid: that the images are on.
        box: the part of `grid` that they fill.
        header: of the reference's file; None for arrays.
        remarks: what may make an answer wrong, a line each.
    """

    images: Tensor
    present: Tensor
    reference: str
    own_grid: Grid
    grid: Grid
    box: Box
    header: Any | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Predictor:
    """Runs of one study, loaded once, that segment case after case.

    Args:
        runs: whose probabilities are averaged.
        study: that they were trained on, with the grids that cases are brought to.
        device: to compute on.
        settings: how windows become an answer.
    """

    runs: Sequence[TrainedRun]
    study: Study
    device: torch.device
    settings: InferenceSettings = PUBLISHED

    @classmethod
    def load(
        cls,
        run: Path | str | Sequence[Path | str],
        checkpoint: CheckpointName = "last",
        device: str = "auto",
        settings: InferenceSettings = PUBLISHED,
        resample: str | None = None,
    ) -> "Predictor":
        """Load a run or several; the arguments are those of `predict`.

        Raises:
            InputError: no run, no such device, or runs of different studies.
        """
        where = choose_device(device)
        folders = [Path(run)] if isinstance(run, Path | str) else [Path(folder) for folder in run]
        runs = [load_run(folder, checkpoint, where) for folder in folders]
        return cls(runs, with_geometry(_common_study(runs, folders), resample), where, settings)

    def segment(
        self, images: Mapping[str, Image], affine: NDArray[np.float64] | None = None, probabilities: bool = False
    ) -> Segmentation:
        """Segment one case; see `predict`."""
        return self.answer(self.read(images, affine), _in_memory if probabilities else None)

    def read(self, images: Mapping[str, Image], affine: NDArray[np.float64] | None = None) -> StackedCase:
        """Read, check, crop and normalise the images of a case, one after the other; see `predict`."""
        if not images:
            raise InputError(f"images: none is given; give at least one of {', '.join(self.study.modalities)}")
        unknown = [name for name in images if name not in self.study.modalities]
        if unknown:
            known = ", ".join(self.study.modalities)
            raise InputError(f"images: {unknown[0]!r} is no modality of the run; it has {known}")
        _check_distinct(images)
        volumes = ((name, as_volume(name, images[name], affine)) for name in reference_first(images, self.study))
        first = self.runs[0]
        case = stack_case(volumes, self.study, first.crop, first.network.patch_size)
        unlike = [f"{case.reference}: {remark}" for remark in first.grids.remarks(case.grid)] if first.grids else []
        return replace(case, header=_header(images[case.reference]), remarks=[*case.remarks, *unlike])

    def answer(self, case: StackedCase, room: Room | None = None) -> Segmentation:
        """Segment a case that was read.

        Args:
            case: of the runs' study.
            room: for the probabilities; None: they are not kept.
        """
        networks = [run.network for run in self.runs]
        images = case.images.to(self.device)
        classes = np.zeros(case.box.shape, dtype=np.uint8)
        kept = room((len(self.study.classes), *case.box.shape)) if room else None
        for part, probabilities in infer_parts(networks, images, case.present, case.present, self.settings):
            classes[part] = most_likely(probabilities)[0].cpu().numpy()
            if kept is not None:
                kept[:, *part] = probabilities[0].cpu().numpy()
        labels = labels_of(classes, case.box, case.grid, case.own_grid, self.study)
        name = subset_name(case.present[0], self.study)
        return Segmentation(
            labels, name, case.reference, self.study, case.own_grid, case.grid, case.box, kept, case.header,
            case.remarks,
        )  # fmt: skip


def predict(
    run: Path | str | Sequence[Path | str],
    images: Mapping[str, Image],
    affine: NDArray[np.float64] | None = None,
    checkpoint: CheckpointName = "last",
    device: str = "auto",
    settings: InferenceSettings = PUBLISHED,
    resample: str | None = None,
    probabilities: bool = False,
) -> Segmentation:
    """Segment one case from whichever modalities are given.

    For many cases load the run once, with `Predictor.load`, and `segment` each.

    Args:
        run: folder of a run or an exported model, or of several, whose probabilities are averaged.
        images: NIfTI file or array (X, Y, Z) of each modality at hand, by name.
        affine: voxel indices to mm of the arrays, (4, 4); None: 1 mm voxels, running to the left, back and up.
        checkpoint: "last" or "best".
        device: "auto", or a name that PyTorch knows.
        settings: how windows become an answer.
        resample: modality whose grid the others are brought to and the result is on, or several in order of
            preference, such as "t1c,flair"; None: as the study that was trained on was prepared.
        probabilities: keep them, which takes 4 bytes a voxel and class.

    Raises:
        InputError: no modality or an unknown one, an image that cannot be used, images that do not fit, or runs of
            different studies.
    """
    return Predictor.load(run, checkpoint, device, settings, resample).segment(images, affine, probabilities)


def stack_case(
    volumes: Iterator[tuple[str, Volume]], study: Study, crop: Crop, patch_size: Sequence[int]
) -> StackedCase:
    """Bring the modalities at hand to the study's grid, crop and normalise each, and stack them.

    Args:
        volumes: names and what they are of, first that whose grid the result is to be on; each is asked for when the
            one before is cropped, so that no more than one is in memory as it was read.
        study: says the order of the modalities, and the spacing.
        crop: how the network's patches were taken.
        patch_size: of the network.

    Raises:
        InputError: volumes that are not on one grid.
    """
    reference, volume = next(volumes)
    remarks = _remarks(reference, volume)
    grid = study_grid(volume, study)
    first = volume.without_voxels()
    own_grid = grid if first.grid.alike(grid) else first.grid
    prepared = {reference: normalise(image_on(grid, volume))}
    del volume
    for name, volume in volumes:
        if not study.resample:
            check_same_grid({reference: first, name: volume})
        remarks += _remarks(name, volume)
        prepared[name] = normalise(image_on(grid, volume))
        del volume
    box = seen_box(union_of([own for _, own in prepared.values()]), crop, patch_size)
    present = torch.tensor([[name in prepared for name in study.modalities]])
    stack = np.zeros((1, len(study.modalities), *box.shape), dtype=np.float32)
    for name in list(prepared):
        voxels, own = prepared.pop(name)
        # What reading took, and the modality before.
        give_back_freed_memory()
        copy_overlap(voxels, own, stack[0, study.modalities.index(name)], box)
    return StackedCase(torch.from_numpy(stack), present, reference, own_grid, grid, box, remarks=remarks)


def _remarks(name: str, volume: Volume) -> list[str]:
    return [f"{name}: {remark}" for remark in (*volume.doubts, *remarks_on_background(volume))]


def reference_first(modalities: Collection[str], study: Study) -> list[str]:
    """The modalities in the order in which `stack_case` wants them."""
    reference = study.reference(modalities)
    return [reference, *(name for name in modalities if name != reference)]


def labels_of(classes: NDArray[np.uint8], box: Box, grid: Grid, own_grid: Grid, study: Study) -> NDArray[np.int16]:
    """The study's label codes on the files' grid, of class indices (*box)."""
    codes: NDArray[np.int16] = study.codes.astype(np.int16)[put_back(classes, box, grid, own_grid)]
    return codes


def _common_study(runs: Sequence[TrainedRun], folders: Sequence[Path]) -> Study:
    for one, folder in zip(runs[1:], folders[1:], strict=True):
        if one.study != runs[0].study:
            raise InputError(f"{folder}: was trained on another study than {folders[0]}; average runs of one study")
        if one.crop != runs[0].crop:
            raise InputError(f"{folder}: was trained on another crop than {folders[0]}; average runs of one crop")
    return runs[0].study


def as_volume(name: str, image: Image, affine: NDArray[np.float64] | None) -> Volume:
    """An image as `predict` takes it; see there.

    Raises:
        InputError: it cannot be used.
    """
    if isinstance(image, Path | str | Channel):
        return read_image(Path(image) if isinstance(image, str) else image)
    voxels = np.asarray(image, dtype=np.float32)
    if voxels.ndim != 3 or not np.isfinite(voxels).all() or voxels.min() == voxels.max():
        raise InputError(f"images: {name} has shape {voxels.shape}; give a 3D array of finite numbers, not all equal")
    return Volume(Path(name), voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) if affine is None else affine)


def _check_distinct(images: Mapping[str, Image]) -> None:
    """Refuse a file that is given for two modalities: it is one of them by mistake."""
    first: dict[str, str] = {}
    for name, image in images.items():
        if isinstance(image, Path | str):
            other = first.setdefault(os.path.realpath(image), name)
            if other != name:
                raise InputError(f"{image}: is given for {other} and for {name}; give each modality its own file")


def _header(image: Image) -> Any | None:
    if not isinstance(image, Path | str | Channel):
        return None
    with open_nifti(file_of(Path(image) if isinstance(image, str) else image)) as file:
        return file.header


def predict_files(
    predictor: Predictor, images: Mapping[str, Path], out: Path, probabilities: Path | None = None
) -> Segmentation:
    """Segment the case whose modalities are given and write it with the study's label codes.

    The result has the shape, affine and header of the input, of several on different grids those of the reference.
    Until they are written, probabilities are in a file beside theirs, not in memory.

    Args:
        predictor: the runs.
        images: file of each modality at hand, by name.
        out: NIfTI file to write.
        probabilities: NIfTI file to write the classes' probabilities to, the classes along the fourth axis.

    Raises:
        InputError: as `predict`, or a name that is no NIfTI file's.
    """
    check_nifti_name("--out", out)
    if probabilities:
        check_nifti_name("--probabilities", probabilities)
    return write_answer(predictor, predictor.read(images), out, probabilities)


def write_answer(predictor: Predictor, case: StackedCase, out: Path, probabilities: Path | None) -> Segmentation:
    """What `predict_files` writes, of a case that was read."""
    if probabilities is None:
        found = predictor.answer(case)
        found.save(out)
        return found
    probabilities.parent.mkdir(parents=True, exist_ok=True)
    with naming(probabilities), TemporaryFile(dir=probabilities.parent) as file:
        found = predictor.answer(case, _in_file(file))
        found.save(out)
        found.save_probabilities(probabilities)
    return found
