"""What an objective may ask of a network: to encode what is there, and to decode any subset of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passion.errors import InputError


@dataclass(frozen=True)
class Encoding:
    """What the encoders made of a batch; each network adds its own fields.

    Args:
        present: (B, M) bool, the modalities that were encoded.
    """

    present: Tensor


@dataclass(frozen=True)
class Decoding:
    """P answers, one a row.

    Args:
        logits: (P, K, *space).
        deep_logits: logits of the deep heads, finest first, (P, K, *space / 2^i) each; may be empty.
        features: (P, F, *space), the tensor that the last convolution reads.
    """

    logits: Tensor
    deep_logits: tuple[Tensor, ...]
    features: Tensor

    def rows(self, index: Tensor | slice) -> "Decoding":
        """The answers at `index` only."""
        return Decoding(self.logits[index], tuple(deep[index] for deep in self.deep_logits), self.features[index])

    def detach(self) -> "Decoding":
        """The same numbers, through which no gradient flows."""
        return Decoding(self.logits.detach(), tuple(deep.detach() for deep in self.deep_logits), self.features.detach())


@dataclass(frozen=True)
class ModalityAxis:
    """An axis that holds equal blocks, one a modality in their order, and behind them what belongs to none.

    Args:
        axis: which.
        rest: entries behind the blocks.
    """

    axis: int
    rest: int = 0

    def places(self, extent: int, modalities: int, order: Sequence[int]) -> Tensor:
        """Which of `extent` entries belong to the modalities in `order`, one after the other, and to none.

        >>> ModalityAxis(0, rest=1).places(7, 3, [2, 0])
        tensor([4, 5, 0, 1, 6])
        """
        blocks = torch.arange(extent - self.rest).view(modalities, -1)
        return torch.cat((blocks[list(order)].flatten(), torch.arange(extent - self.rest, extent)))


class PerModality:
    """A module with parameters, or children, that stand along the modality axis."""

    def modality_axes(self) -> Mapping[str, Sequence[ModalityAxis]]:
        """Of each parameter that stands along the modality axis, by its name in the module, the axes that do."""
        return {}

    def reorder_modalities(self, order: Tensor) -> None:
        """Put what belongs to modality `order[i]` at place i; order (M,) int64."""
        assert isinstance(self, nn.Module)
        for name, axes in self.modality_axes().items():
            parameter = self.get_parameter(name)
            for axis in axes:
                places = axis.places(parameter.shape[axis.axis], len(order), order.tolist())
                parameter.data = parameter.data.index_select(axis.axis, places.to(parameter.device))


class ModalityList(nn.ModuleList, PerModality):
    """One module a modality."""

    def reorder_modalities(self, order: Tensor) -> None:
        """See `PerModality`."""
        modules = list(self)
        for place, index in enumerate(order.tolist()):
            self[place] = modules[index]


class Segmenter(nn.Module, ABC):
    """Any network that can be asked about a subset of modalities.

    Args:
        modalities: M.
        classes: K, the background included.
        spatial_dims: 2 or 3.
        patch_size: extent of the windows that it is trained on and applied to, one number a spatial axis.

    Raises:
        InputError: no modality, no class beside the background, other spatial dimensions, or a patch size that does not
            fit them.
    """

    def __init__(self, modalities: int, classes: int, spatial_dims: int, patch_size: Sequence[int]) -> None:
        if modalities < 1:
            raise InputError(f"modalities {modalities}: must be at least 1")
        if classes < 2:
            raise InputError(f"classes {classes}: must be at least 2, the background is one of them")
        if spatial_dims not in (2, 3):
            raise InputError(f"spatial_dims {spatial_dims}: must be 2 or 3")
        if len(patch_size) != spatial_dims:
            raise InputError(f"patch_size {list(patch_size)}: give one number or {spatial_dims} of them")
        if min(patch_size) < 1:
            raise InputError(f"patch_size {min(patch_size)}: must be at least 1")
        super().__init__()
        self.modalities = modalities
        self.classes = classes
        self.spatial_dims = spatial_dims
        self.patch_size = tuple(patch_size)

    TINY: ClassVar[Mapping[str, object]] = {}
    """Options that make a network of this class small, for tests and first tries; the patch size is 32 then."""

    def reorder(self, order: Tensor) -> None:
        """Reorder the modality axis: afterwards `images[:, order]` is answered as `images` was before.

        Args:
            order: (M,) int64, a permutation.
        """
        for module in self.modules():
            if isinstance(module, PerModality):
                module.reorder_modalities(order)

    def recompute_activations(self) -> None:
        """Activation checkpointing: keep less for the backward pass, and work it out again there.

        Raises:
            InputError: this network has no such way.
        """
        raise InputError(f"network {type(self).__name__}: has no way to recompute activations; leave the option out")

    def compile_parts(self, backend: str = "inductor", **options: Any) -> None:
        """Let `torch.compile` work on the parts whose course depends on the number of their rows alone.

        Such a part is compiled once for each number of rows, and so for each count of present modalities; what picks
        rows by presence stays outside. Names and values of parameters stay as they are.

        Args:
            backend: of `torch.compile`.
            options: others of `torch.compile`, such as `mode`.

        Raises:
            InputError: this network has no such parts.
        """
        raise InputError(f"network {type(self).__name__}: has no parts to compile; leave the option out")

    @abstractmethod
    def encode(self, images: Tensor, present: Tensor) -> Encoding:
        """Run the encoders of the modalities that are there, and only those.

        Args:
            images: (B, M, *space); what stands in the voxels of an absent modality is never read.
            present: (B, M) bool, at least one modality a row.
        """

    @abstractmethod
    def decode(self, encoding: Encoding, case: Tensor, subset: Tensor) -> Decoding:
        """Answer P questions at once: row p is case `case[p]` seen through `subset[p]`.

        Args:
            encoding: of a batch of B.
            case: (P,) int64, rows of the batch.
            subset: (P, M) bool. A modality that was not encoded counts as absent; each row has one that was encoded.
        """

    @property
    def has_unimodal_decoder(self) -> bool:
        """Whether `decode_alone` asks a decoder of its own, and not `decode` about one modality."""
        return type(self).decode_alone is not Segmenter.decode_alone

    def decode_alone(self, encoding: Encoding, case: Tensor, modality: Tensor) -> Tensor:
        """Logits (P, K, *space) of the second, uni-modal decoder that L_reg trains (METHOD: L_reg in Eq. 1).

        A network without such a decoder answers with its only one, asked about that modality alone.

        Args:
            encoding: of a batch of B.
            case: (P,) int64, rows of the batch.
            modality: (P,) int64, one that is present in that case.
        """
        return self.decode(encoding, case, one_hot(modality, self.modalities)).logits


def one_hot(modality: Tensor, modalities: int) -> Tensor:
    """Subsets of a single modality each: (P,) int64 -> (P, M) bool.

    >>> one_hot(torch.tensor([1]), 3)
    tensor([[False,  True, False]])
    """
    return F.one_hot(modality, modalities).bool()


def all_subsets(modalities: int) -> Tensor:
    """The 2^M - 1 non-empty subsets, (2^M - 1, M) bool: by size, then in the order of the modalities.

    >>> all_subsets(2).int().tolist()
    [[1, 0], [0, 1], [1, 1]]
    """
    codes = torch.arange(1, 2**modalities)
    members = (codes[:, None] >> torch.arange(modalities)) & 1
    earliest_first = (members * 2 ** torch.arange(modalities - 1, -1, -1)).sum(1)
    order = (members.sum(1) * 2**modalities - earliest_first).argsort()
    return members[order].bool()
