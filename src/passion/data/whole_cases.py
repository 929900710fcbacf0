"""From the prepared study to whole cases, for scoring."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from passion.data.boxes import Box
from passion.data.loading import Crop, draw_window, read_images
from passion.data.store import PreparedCase, PreparedStudy
from passion.errors import InputError


@dataclass(frozen=True)
class WholeCase:
    """A case for scoring.

    Args:
        case: where it comes from.
        box: its part of the original grid: the union of the boxes of the modalities at hand.
        images: (1, M, *box) float32.
        present: (1, M) bool.
    """

    case: PreparedCase
    box: Box
    images: Tensor
    present: Tensor

    def to(self, device: torch.device) -> "WholeCase":
        """Images on `device`, the mask where it is."""
        return WholeCase(self.case, self.box, self.images.to(device), self.present)


def seen_box(box: Box, crop: Crop, size: Sequence[int]) -> Box:
    """The part of a case's box that a network answers for: all of it, or the centre that it was trained on."""
    if crop == "random":
        return box
    window = draw_window(box, size, np.random.default_rng(0), "centre")
    return Box((*window.start, *box.start[len(size) :]), (*window.stop, *box.stop[len(size) :]))


class WholeCases(Dataset[WholeCase]):
    """Cases as a whole, with every modality that they have.

    Args:
        prepared: the study.
        names: the cases.
        modalities: in the order of the images' axis.
        crop: how the network's patches were taken; of a network trained on centre crops, only the centre is asked.
        size: extent of those patches.

    Raises:
        InputError: there is no case to score.
    """

    def __init__(
        self,
        prepared: PreparedStudy,
        names: Sequence[str],
        modalities: Sequence[str],
        crop: Crop,
        size: Sequence[int],
    ) -> None:
        if not names:
            raise InputError(f"{prepared.folder}: there is no case to score; the split's part is empty")
        self.prepared = prepared
        self.names = names
        self.modalities = modalities
        self.crop = crop
        self.size = size

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> WholeCase:
        case = self.prepared.case(self.names[index])
        present = torch.tensor([modality in case.boxes for modality in self.modalities])
        box = seen_box(case.box(list(case.boxes)), self.crop, self.size)
        images = read_images(case, self.modalities, present, box)
        return WholeCase(case, box, images[None], present[None])
