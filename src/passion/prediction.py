"""One case from files to a segmentation."""

from collections.abc import Mapping
from pathlib import Path

import nibabel
import numpy as np
import torch

from passion.data.prepare import at_grid, normalise, study_grid
from passion.data.store import copy_overlap, put_back, union_of
from passion.data.volumes import check_same_grid, read_image
from passion.data.whole_cases import seen_box
from passion.errors import InputError
from passion.evaluation.subsets import subset_name
from passion.files import replacing
from passion.inference import choose_device, segment
from passion.runs import CheckpointName, load_run


def predict_files(run: Path, images: Mapping[str, Path], out: Path, checkpoint: CheckpointName, device: str) -> str:
    """Segment the case whose modalities are given and write it with the study's label codes.

    The result has the shape, affine and header of the input.

    Args:
        run: folder of the run.
        images: file of each modality at hand, by name.
        out: NIfTI file to write.
        checkpoint: "last" or "best".
        device: "auto", or a name that PyTorch knows.

    Returns:
        Name of the subset that was given.

    Raises:
        InputError: no modality, a file that cannot be used, files that do not fit, or a name that is no NIfTI file's.
    """
    if not images:
        raise InputError("predict: give at least one modality, such as --t1c FILE")
    if not out.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"--out {out}: must end in .nii or .nii.gz")
    volumes = {modality: read_image(path) for modality, path in images.items()}
    check_same_grid(volumes)
    where = choose_device(device)
    trained = load_run(run, checkpoint, where)
    study = trained.study
    first = next(iter(volumes.values()))
    own_grid = first.grid
    grid = study_grid(own_grid, study)
    prepared = {
        modality: normalise(at_grid(volume.voxels, own_grid, grid, order=1)) for modality, volume in volumes.items()
    }
    whole = union_of([own for _, own in prepared.values()])
    box = seen_box(whole, trained.configuration.data.crop, trained.network.patch_size)
    stack = np.zeros((1, len(study.modalities), *box.shape), dtype=np.float32)
    for modality, (voxels, own) in prepared.items():
        copy_overlap(voxels, own, stack[0, study.modalities.index(modality)], box)
    present = torch.tensor([[modality in images for modality in study.modalities]])
    labels = segment(trained.network, torch.from_numpy(stack).to(where), present, present)[0].numpy()
    classes = put_back(labels, box, grid, own_grid)
    source = nibabel.load(first.path)
    header = source.header.copy()
    header.set_data_dtype(np.int16)
    header.set_slope_inter(1, 0)
    result = nibabel.Nifti1Image(study.codes[classes].astype(np.int16), source.affine, header)
    with replacing(out) as beside:
        nibabel.save(result, beside)
    return subset_name(present[0], study)
