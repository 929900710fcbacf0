"""ModDrop: modalities that are there are dropped at random (Neverova et al., TPAMI 2016; Xiao et al., 2020)."""

import torch
from torch import Tensor

from passion.data.loading import Batch
from passion.errors import InputError
from passion.networks.contract import all_subsets
from passion.objectives.baseline import Baseline


class ModDrop(Baseline):
    """The baseline, whose fused prediction sees a random non-empty subset of the modalities that are present.

    In perfect data training it takes the place of the subset that would be fed. L_reg still covers every modality that
    is present.

    Args:
        inverse_presence: N / N_m of each modality, (M,).
        drop_rate: probability with which each modality is dropped, given that one is left; at 0.5 every non-empty
            subset is as likely.

    Raises:
        InputError: a rate outside (0, 1).
    """

    def __init__(self, inverse_presence: Tensor, drop_rate: float = 0.5) -> None:
        super().__init__(inverse_presence)
        if not 0 < drop_rate < 1:
            raise InputError(f"--objective.drop_rate {drop_rate}: must be between 0 and 1; for 0 use the baseline")
        self.drop_rate = drop_rate

    def feed(self, batch: Batch) -> Tensor:
        """See `Baseline.feed`; the draw follows PyTorch's global seed."""
        subsets = all_subsets(self.modalities)
        inside = ~(subsets & ~batch.present[:, None]).any(2)
        kept = subsets.sum(1)
        weight = (1 - self.drop_rate) ** kept * self.drop_rate ** (batch.present.sum(1, keepdim=True) - kept)
        return subsets[torch.multinomial(inside * weight, 1).squeeze(1)]
