"""A case from files or arrays to a segmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passion.data.geometry import with_geometry
from passion.data.loading import Crop
from passion.data.prepare import image_on, normalise, study_grid
from passion.data.resampling import Grid, resample
from passion.data.store import Box, copy_overlap, put_back, union_of
from passion.data.study import Study
from passion.data.volumes import Volume, check_same_grid, read_image
from passion.data.whole_cases import seen_box
from passion.errors import InputError
from passion.evaluation.subsets import subset_name
from passion.files import replacing
from passion.inference import PUBLISHED, InferenceSettings, choose_device, infer, most_likely
from passion.runs import CheckpointName, TrainedRun, load_run


@dataclass(frozen=True)
class Segmentation:
    """What one or several runs make of a case.

    Args:
        labels: the study's label codes, (X, Y, Z) int16, on the grid of the input.
        modalities: that were given, joined by `+`.
        reference: the one of them whose grid that is.
        study: names and codes of the classes.
        own_grid: of the input; its affine leads from voxel indices to mm.
        grid: that was computed on; the same where the study keeps a case's spacing.
        box: the part of `grid` that holds something.
        in_box: probabilities of the classes there, (K, *box) float32.
    """

    labels: NDArray[np.int16]
    modalities: str
    reference: str
    study: Study
    own_grid: Grid
    grid: Grid
    box: Box
    in_box: NDArray[np.float32]

    def probabilities(self) -> NDArray[np.float32]:
        """Of the classes, on the grid of the input, (K, X, Y, Z); outside the box background is certain."""
        whole = np.zeros((len(self.in_box), *self.grid.shape), dtype=np.float32)
        whole[0] = 1
        for of_class, out in zip(self.in_box, whole, strict=True):
            copy_overlap(of_class, self.box, out, Box.whole(self.grid.shape))
        if self.grid is self.own_grid:
            return whole
        return np.stack(
            [
                resample(values, self.grid, self.own_grid, order=1, outside=float(index == 0))
                for index, values in enumerate(whole)
            ]
        )


def predict(
    run: Path | str | Sequence[Path | str],
    images: Mapping[str, Path | str | NDArray[Any]],
    affine: NDArray[np.float64] | None = None,
    checkpoint: CheckpointName = "last",
    device: str = "auto",
    settings: InferenceSettings = PUBLISHED,
    resample: str | None = None,
) -> Segmentation:
    """Segment one case from whichever modalities are given.

    Args:
        run: folder of a run or an exported model, or of several, whose probabilities are averaged.
        images: NIfTI file or array (X, Y, Z) of each modality at hand, by name.
        affine: voxel indices to mm of the arrays, (4, 4); None: 1 mm voxels, running to the left, back and up.
        checkpoint: "last" or "best".
        device: "auto", or a name that PyTorch knows.
        settings: how windows become an answer.
        resample: modality whose grid the others are brought to and the result is on, or several in order of
            preference, such as "t1c,flair"; None: as the study that was trained on was prepared.

    Raises:
        InputError: no modality or an unknown one, an image that cannot be used, images that do not fit, or runs of
            different studies.
    """
    where = choose_device(device)
    folders = [Path(run)] if isinstance(run, Path | str) else [Path(folder) for folder in run]
    runs = [load_run(folder, checkpoint, where) for folder in folders]
    study = with_geometry(_common_study(runs, folders), resample)
    if not images:
        raise InputError(f"images: none is given; give at least one of {', '.join(study.modalities)}")
    unknown = [name for name in images if name not in study.modalities]
    if unknown:
        raise InputError(f"images: {unknown[0]!r} is no modality of the run; it has {', '.join(study.modalities)}")
    volumes = {name: as_volume(name, image, affine) for name, image in images.items()}
    seen = stack_case(volumes, study, runs[0].crop, runs[0].network.patch_size)
    stacked = seen.images.to(where)
    answers = [infer(one.network, stacked, seen.present, seen.present, settings)[0] for one in runs]
    mean = torch.stack(answers).mean(0)
    return Segmentation(
        labels_of(mean, seen.box, seen.grid, seen.own_grid, study), subset_name(seen.present[0], study),
        seen.reference, study, seen.own_grid, seen.grid, seen.box, mean.cpu().numpy(),
    )  # fmt: skip


@dataclass(frozen=True)
class StackedCase:
    """A case as a network reads it.

    Args:
        images: (1, M, *box) float32, zeros where a modality is absent.
        present: (1, M) bool.
        reference: the modality whose grid the answer belongs on.
        own_grid: that grid.
        grid: that the images are on.
        box: the part of `grid` that they fill.
    """

    images: Tensor
    present: Tensor
    reference: str
    own_grid: Grid
    grid: Grid
    box: Box


def stack_case(volumes: Mapping[str, Volume], study: Study, crop: Crop, patch_size: Sequence[int]) -> StackedCase:
    """Bring the modalities at hand to the study's grid, crop and normalise each, and stack them.

    Args:
        volumes: by modality.
        study: says the order of the modalities, and the grid.
        crop: how the network's patches were taken.
        patch_size: of the network.

    Raises:
        InputError: volumes that are not on one grid, where the study does not say whose they are brought to.
    """
    if not study.resample:
        check_same_grid(volumes)
    reference = study.reference(volumes)
    own_grid = volumes[reference].grid
    grid = study_grid(volumes[reference], study)
    own_grid = grid if own_grid.alike(grid) else own_grid
    prepared = {name: normalise(image_on(grid, volume)) for name, volume in volumes.items()}
    box = seen_box(union_of([own for _, own in prepared.values()]), crop, patch_size)
    stack = np.zeros((1, len(study.modalities), *box.shape), dtype=np.float32)
    for name, (voxels, own) in prepared.items():
        copy_overlap(voxels, own, stack[0, study.modalities.index(name)], box)
    present = torch.tensor([[name in volumes for name in study.modalities]])
    return StackedCase(torch.from_numpy(stack), present, reference, own_grid, grid, box)


def labels_of(probabilities: Tensor, box: Box, grid: Grid, own_grid: Grid, study: Study) -> NDArray[np.int16]:
    """The study's label codes on the files' grid, of class probabilities (K, *box)."""
    classes = most_likely(probabilities[None, None])[0, 0].cpu().numpy()
    codes: NDArray[np.int16] = study.codes[put_back(classes, box, grid, own_grid)].astype(np.int16)
    return codes


def _common_study(runs: Sequence[TrainedRun], folders: Sequence[Path]) -> Study:
    for one, folder in zip(runs[1:], folders[1:], strict=True):
        if one.study != runs[0].study:
            raise InputError(f"{folder}: was trained on another study than {folders[0]}; average runs of one study")
        if one.crop != runs[0].crop:
            raise InputError(f"{folder}: was trained on another crop than {folders[0]}; average runs of one crop")
    return runs[0].study


def as_volume(name: str, image: Path | str | NDArray[Any], affine: NDArray[np.float64] | None) -> Volume:
    """An image as `predict` takes it; see there.

    Raises:
        InputError: it cannot be used.
    """
    if isinstance(image, Path | str):
        return read_image(Path(image))
    voxels = np.asarray(image, dtype=np.float32)
    if voxels.ndim != 3 or not np.isfinite(voxels).all() or voxels.min() == voxels.max():
        raise InputError(f"images: {name} has shape {voxels.shape}; give a 3D array of finite numbers, not all equal")
    return Volume(Path(name), voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) if affine is None else affine)


def predict_files(
    runs: Sequence[Path],
    images: Mapping[str, Path],
    out: Path,
    checkpoint: CheckpointName,
    device: str,
    settings: InferenceSettings = PUBLISHED,
    probabilities: Path | None = None,
    resample: str | None = None,
) -> Segmentation:
    """Segment the case whose modalities are given and write it with the study's label codes.

    The result has the shape, affine and header of the input, of several on different grids those of the reference.

    Args:
        runs: folders of runs, whose probabilities are averaged.
        images: file of each modality at hand, by name.
        out: NIfTI file to write.
        checkpoint: "last" or "best".
        device: "auto", or a name that PyTorch knows.
        settings: how windows become an answer.
        probabilities: NIfTI file to write the classes' probabilities to, the classes along the fourth axis.
        resample: as of `predict`.

    Returns:
        What was written.

    Raises:
        InputError: as `predict`, or a name that is no NIfTI file's.
    """
    if not images:
        raise InputError("predict: give at least one modality, such as --t1c FILE")
    targets = {"--out": out} | ({"--probabilities": probabilities} if probabilities else {})
    for option, path in targets.items():
        if not path.name.endswith((".nii", ".nii.gz")):
            raise InputError(f"{option} {path}: must end in .nii or .nii.gz")
    found = predict(runs, images, None, checkpoint, device, settings, resample)
    source = nibabel.load(images[found.reference])
    _write_like(source, found.labels.reshape(source.shape), out)
    if probabilities:
        _write_like(source, np.moveaxis(found.probabilities(), 0, -1), probabilities)
    return found


def _write_like(source: Any, voxels: NDArray[Any], path: Path) -> None:
    """Write voxels with the header and the place of another image."""
    header = source.header.copy()
    header.set_data_dtype(voxels.dtype)
    header.set_slope_inter(1, 0)
    with replacing(path) as beside:
        nibabel.save(nibabel.Nifti1Image(voxels, source.affine, header), beside)
