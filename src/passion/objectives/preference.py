"""Relative preference and what is made of it: delta and beta (section 3.3 of the paper)."""

from typing import Literal

import torch
from torch import Tensor, distributed, nn

Form = Literal["paper", "reference"]

LOWEST_BETA = 0.1
HIGHEST_REFERENCE_BETA = 4.0
REFERENCE_RATE_STEPS = (0, 100, 200)
REFERENCE_RATE_FACTOR = 1.5


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of `values` over all training processes, on the same device; `values` itself where there is one."""
    if distributed.is_available() and distributed.is_initialized():
        # NCCL, which joins processes with a GPU each, takes nothing that is not on one.
        # A copy in any case, since the sum takes the place of what it is given.
        nccl = distributed.get_backend() == distributed.Backend.NCCL
        total = values.to("cuda" if nccl else values.device, copy=True)
        distributed.all_reduce(total)
        return total.to(values.device)
    return values


def relative_preference(gap: Tensor, present: Tensor) -> Tensor:
    """RP^m = 1 - D^m / (mean of D over the sample's modalities) (Eq. 9 and 10), without gradient.

    Args:
        gap: D (B, M).
        present: (B, M) bool.

    Returns:
        (B, M); 0 where a modality is absent, and for a sample whose gaps are all 0, as with a single modality.

    >>> present = torch.tensor([[True, True, False], [True, False, False]])
    >>> relative_preference(torch.tensor([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]), present)
    tensor([[ 0.5000, -0.5000,  0.0000],
            [ 0.0000,  0.0000,  0.0000]])
    """
    gap = gap.detach() * present
    average = gap.sum(1, keepdim=True) / present.sum(1, keepdim=True)
    return torch.where(present & (average != 0), 1 - gap / average.clamp(min=torch.finfo(gap.dtype).tiny), 0.0)


def task_mask(preference: Tensor) -> Tensor:
    """Delta = 1 where a modality is neglected, RP < 0 (Eq. 11).

    >>> task_mask(torch.tensor([[0.5, -0.5, 0.0]]))
    tensor([[0., 1., 0.]])
    """
    return (preference < 0).float()


class GradientWeight(nn.Module):
    """beta, one number a modality, updated after each epoch (Eq. 12 and 13).

    Form "paper": beta starts at N / N_m; beta <- beta - rate * RP_epoch, RP_epoch the mean of RP over the samples
    that have the modality; beta >= 0.1. Form "reference": beta starts at 1; RP_epoch is worked out from the epoch's
    mean gaps as RP is from a sample's, so it is 0 for a modality that the epoch has not seen; the rate grows by 1.5 at
    epochs 0, 100 and 200; beta is clamped to [0.1, 4] and rescaled to a norm of sqrt(M).

    Args:
        inverse_presence: N / N_m of each modality, (M,).
        rate: gamma.
        form: see above.

    >>> weight = GradientWeight(inverse_presence=torch.tensor([1.0, 2.0]), rate=0.1, form="paper")
    >>> gap, preference = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.5, -0.5]])
    >>> weight.record(gap, preference, present=torch.tensor([[True, True]]))
    >>> weight.update()
    >>> weight.beta
    tensor([0.9500, 2.0500])
    """

    beta: Tensor
    rate: Tensor
    epoch: Tensor
    preference_sum: Tensor
    gap_sum: Tensor
    count: Tensor

    def __init__(self, inverse_presence: Tensor, rate: float, form: Form) -> None:
        super().__init__()
        self.form = form
        start = inverse_presence.float() if form == "paper" else torch.ones(len(inverse_presence))
        self.register_buffer("beta", start.clone())
        self.register_buffer("rate", torch.tensor(float(rate)))
        self.register_buffer("epoch", torch.tensor(0))
        for name in ("preference_sum", "gap_sum", "count"):
            self.register_buffer(name, torch.zeros(len(inverse_presence), dtype=torch.float64))

    @torch.no_grad()
    def record(self, gap: Tensor, preference: Tensor, present: Tensor) -> None:
        """Add a batch, (B, M) each, to this epoch's sums."""
        self.preference_sum += preference.double().sum(0)
        self.gap_sum += (gap.detach() * present).double().sum(0)
        self.count += present.double().sum(0)

    @torch.no_grad()
    def update(self) -> None:
        """Bring beta up to date with the epoch that all processes have just recorded, and forget it."""
        count = sum_over_processes(self.count)
        if self.form == "paper":
            preference = sum_over_processes(self.preference_sum) / count.clamp(min=1)
            self.beta -= self.rate * preference.float()
            self.beta.clamp_(min=LOWEST_BETA)
        else:
            gap = sum_over_processes(self.gap_sum) / count.clamp(min=1)
            self._update_as_reference(relative_preference(gap[None], count[None] > 0)[0])
        self.epoch += 1
        for sums in (self.preference_sum, self.gap_sum, self.count):
            sums.zero_()

    def _update_as_reference(self, preference: Tensor) -> None:
        if int(self.epoch) in REFERENCE_RATE_STEPS:
            self.rate *= REFERENCE_RATE_FACTOR
        beta = (self.beta - self.rate * preference.float()).clamp(LOWEST_BETA, HIGHEST_REFERENCE_BETA)
        self.beta.copy_(beta * (len(beta) ** 0.5 / beta.norm()))
