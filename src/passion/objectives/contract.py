"""What a training method is: named loss terms, each per sample."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from passion.data.loading import Batch
from passion.networks.contract import Segmenter


@dataclass(frozen=True)
class Term:
    """One named part of a loss.

    Args:
        value: (B,) per sample, or (B, M) per sample and modality with 0 where the modality has no part in it.
        weight: what it is multiplied with; broadcasts to `value` and carries no gradient.
    """

    value: Tensor
    weight: Tensor | float = 1.0

    @property
    def per_sample(self) -> Tensor:
        """(B,), weighted and summed over the modalities."""
        weighted = self.value * self.weight
        return weighted.sum(1) if weighted.ndim == 2 else weighted


@dataclass(frozen=True)
class Losses:
    """What an objective says of a batch.

    Args:
        terms: parts of the loss by name.
        preference: relative preference (B, M) if it was measured on the way; 0 where absent.
        gap: D (B, M) if it was measured; 0 where absent.
    """

    terms: Mapping[str, Term] = field(default_factory=dict)
    preference: Tensor | None = None
    gap: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """The scalar to minimise: the sum of the weighted terms, averaged over the samples."""
        return torch.stack([term.per_sample for term in self.terms.values()]).sum(0).mean()


class Objective(nn.Module, ABC):
    """A balancing method. What must survive a restart lives in buffers.

    Args:
        inverse_presence: N / N_m of each modality in the training cases, (M,); all 1 in PDT.
    """

    needs_unimodal_decoder: bool = False
    """Whether the network must have the second decoder that L_reg trains."""

    def __init__(self, inverse_presence: Tensor) -> None:
        super().__init__()
        self.modalities = len(inverse_presence)

    def coefficients(self) -> Mapping[str, Tensor]:
        """Numbers (M,) worth a curve, by name, as they stand now."""
        return {}

    @abstractmethod
    def forward(self, network: Segmenter, batch: Batch) -> Losses:
        """The losses of a batch."""

    def end_epoch(self) -> None:
        """Called once after each training epoch, on every process."""
        return
