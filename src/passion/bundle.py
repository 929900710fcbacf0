"""What a MONAI bundle that `passion export --format monai` has written is made of beside MONAI's own parts.

A bundle gets a case as a dictionary of the modalities at hand; a key that is not there is an absent modality. Which
ones are there goes along as `present`, because the images cannot say it: a window of a modality that is there may hold
nothing but zeros.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Transform
from numpy.typing import NDArray
from torch import Tensor, nn

from passion.data.boxes import Box
from passion.data.loading import Crop
from passion.data.resampling import Grid
from passion.data.study import Study
from passion.errors import InputError
from passion.inference import InferenceSettings, infer, most_likely
from passion.networks import build
from passion.prediction import as_volume, labels_of, reference_first, stack_case

NIFTI = (".nii.gz", ".nii")


def cases_in(folder: str, modalities: Sequence[str]) -> list[dict[str, str]]:
    """The cases below a folder: a folder each, with a file `MODALITY.nii.gz`, or `..._MODALITY.nii.gz`, a modality.

    Args:
        folder: that holds the folders of the cases.
        modalities: names; one without a file is absent.

    Returns:
        File of each modality at hand, and the folder's name as `case`.

    Raises:
        InputError: no case, or two files of one modality.
    """
    cases = {case.name: _files_in(case, modalities) for case in sorted(Path(folder).glob("*")) if case.is_dir()}
    found = [{"case": name, **files} for name, files in cases.items() if files]
    if not found:
        raise InputError(f"{folder}: has no folder with a file such as {modalities[0]}.nii.gz; give one a case")
    return found


def _files_in(folder: Path, modalities: Sequence[str]) -> dict[str, str]:
    files = {}
    for modality in modalities:
        named = [
            path
            for path in sorted(folder.iterdir())
            if any(path.name == modality + end or path.name.endswith(f"_{modality}{end}") for end in NIFTI)
        ]
        if len(named) > 1:
            raise InputError(f"{folder}: has two files of {modality}, {named[0].name} and {named[1].name}; keep one")
        if named:
            files[modality] = str(named[0])
    return files


class SubsetNetwork(nn.Module):
    """A Segmenter as an ordinary network, which maps images to logits.

    Args:
        options: of `passion.networks.build`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.segmenter = build(**options)

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Logits (B, K, *space) of images seen through the modalities that are there.

        Args:
            images: (B, M, *space).
            present: (B, M) or (1, M) bool; None: a modality is there where an image of it has any voxel but 0, which is
                right for whole cases, and may not be for windows. Where all images are 0, all modalities are there.
        """
        images = images.as_tensor() if isinstance(images, MetaTensor) else images
        if present is None:
            some = images.flatten(2).any(2)
            here = some | ~some.any(1, keepdim=True)
        else:
            here = present.bool()
        here = here.expand(len(images), -1).cpu()
        encoding = self.segmenter.encode(images, here)
        return self.segmenter.decode(encoding, torch.arange(len(images)), here).logits


class SubsetInferer(Inferer):  # type: ignore[misc]
    """Sliding windows as `passion predict` has them; the arguments are those of `InferenceSettings`."""

    def __init__(self, blend: str = "constant", mirror: bool = False) -> None:
        super().__init__()
        self.settings = InferenceSettings(blend, mirror)  # type: ignore[arg-type]

    def __call__(self, inputs: Tensor, network: SubsetNetwork, present: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Probabilities (1, K, *box) of one case (1, M, *box), of which `present` (1, M) bool says what is there."""
        images = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        here = present.bool().cpu()
        return infer(network.segmenter, images, here, here, self.settings)


class StackModalitiesd(Transform):  # type: ignore[misc]
    """Images of the modalities at hand -> `image` (M, *box), `present` (M,), and in `image`'s meta where it came from.

    Args:
        study: as `Study.to_dict` gives it.
        crop: how the network's patches were taken.
        patch_size: of the network.
    """

    def __init__(self, study: Mapping[str, Any], crop: Crop, patch_size: Sequence[int]) -> None:
        self.study = Study.from_dict(study)
        self.crop = crop
        self.patch_size = patch_size

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The result is named after the entry `case`, or the file whose grid it is on where there is none.

        Raises:
            InputError: no modality, an image that cannot be used, or images that are not on one grid.
        """
        given = {name: data[name] for name in self.study.modalities if name in data}
        if not given:
            raise InputError(f"case: has no modality; give at least one of {', '.join(self.study.modalities)}")
        volumes = (
            (name, as_volume(name, given[name].as_tensor()[0].numpy(), affine_of(given[name])))
            for name in reference_first(given, self.study)
        )
        seen = stack_case(volumes, self.study, self.crop, self.patch_size)
        meta = {
            "filename_or_obj": str(data.get("case", given[seen.reference].meta.get("filename_or_obj", "case"))),
            "own_affine": seen.own_grid.affine, "own_shape": np.array(seen.own_grid.shape),
            "grid_affine": seen.grid.affine, "grid_shape": np.array(seen.grid.shape),
            "box": np.array([seen.box.start, seen.box.stop]),
        }  # fmt: skip
        return {"image": MetaTensor(seen.images[0], meta=meta), "present": seen.present[0]}


def affine_of(image: MetaTensor) -> NDArray[np.float64]:
    """Voxel indices to mm, (4, 4), of what MONAI has read."""
    return np.asarray(image.affine, dtype=np.float64)


class LabelsOnOwnGridd(Transform):  # type: ignore[misc]
    """Probabilities in `pred` (K, *box) -> label codes on the files' grid (1, X, Y, Z), ready to be saved.

    Args:
        study: as `Study.to_dict` gives it.
    """

    def __init__(self, study: Mapping[str, Any]) -> None:
        self.study = Study.from_dict(study)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """`image` must be what `StackModalitiesd` has made."""
        meta = data["image"].meta
        own, grid = (_grid(meta[f"{name}_shape"], meta[f"{name}_affine"]) for name in ("own", "grid"))
        # Labels are resampled where the two are different objects.
        grid = own if grid.alike(own) else grid
        start, stop = (tuple(int(place) for place in corner) for corner in meta["box"])
        classes = most_likely(torch.as_tensor(data["pred"])[None])[0].cpu().numpy()
        labels = labels_of(classes, Box(start, stop), grid, own, self.study)
        kept = {"filename_or_obj": meta["filename_or_obj"], "original_affine": own.affine}
        affine = torch.from_numpy(own.affine)
        return {**data, "pred": MetaTensor(torch.from_numpy(labels)[None], affine=affine, meta=kept)}


def _grid(shape: Any, affine: Any) -> Grid:
    return Grid(tuple(int(extent) for extent in shape), np.asarray(affine, dtype=np.float64))
