"""PASSION: preference-aware self-distillation (Shi et al., ACM MM 2024)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from passion.data.loading import Batch
from passion.networks.contract import Segmenter
from passion.objectives.contract import Losses, Objective, Term
from passion.objectives.distillation import (
    TeacherAndStudents,
    decode_teacher_and_students,
    losses_alone,
    pixel_distillation,
    semantic_distillation,
)
from passion.objectives.preference import (
    Form,
    GradientWeight,
    relative_preference,
    sum_over_processes,
    task_mask,
)
from passion.objectives.segmentation import scatter_pairs, task_terms


class Passion(Objective):
    """L = L_seg + sum over present m of lambda1 beta^m L_pixel^m + lambda2 delta^m L_proto^m (Eq. 14).

    Form "reference" is what the published code does instead: it keeps L_reg, weighted by delta beta N/N_m, multiplies
    both distillation terms by N/N_m, thresholds delta on RP summed over the batch, and updates beta in its own way
    (see `GradientWeight`).

    Args:
        inverse_presence: N / N_m of each modality, (M,).
        form: "paper" or "reference".
        temperature: of pixel-wise self-distillation.
        pixel_weight: lambda1.
        semantic_weight: lambda2.
        beta_rate: gamma.
        use_pixel: pixel-wise self-distillation.
        use_semantic: semantic-wise self-distillation.
        use_delta: the task mask; without it delta is 1.
        use_beta: the gradient weight; without it beta is 1.
    """

    balance: Tensor

    def __init__(
        self,
        inverse_presence: Tensor,
        form: Form = "paper",
        temperature: float = 4.0,
        pixel_weight: float = 0.5,
        semantic_weight: float = 0.1,
        beta_rate: float = 0.01,
        use_pixel: bool = True,
        use_semantic: bool = True,
        use_delta: bool = True,
        use_beta: bool = True,
    ) -> None:
        super().__init__(inverse_presence)
        self.needs_unimodal_decoder = form == "reference"
        self.form = form
        self.temperature = temperature
        self.pixel_weight = pixel_weight
        self.semantic_weight = semantic_weight
        self.use_pixel = use_pixel
        self.use_semantic = use_semantic
        self.use_delta = use_delta
        self.gradient_weight = GradientWeight(inverse_presence, beta_rate, form) if use_beta else None
        self.measures_gap = use_semantic or use_beta or (use_delta and form == "reference")
        balance = inverse_presence if form == "reference" else torch.ones_like(inverse_presence)
        self.register_buffer("balance", balance.float())

    def coefficients(self) -> Mapping[str, Tensor]:
        """Beta, where it is used."""
        return {"beta": self.gradient_weight.beta} if self.gradient_weight else {}

    def forward(self, network: Segmenter, batch: Batch) -> Losses:
        """See `Objective.forward`."""
        encoding = network.encode(batch.images, batch.present)
        decoded = decode_teacher_and_students(network, encoding, batch.fed)
        present = batch.present.to(batch.target.device, non_blocking=True)
        terms = task_terms(decoded.teacher, batch.target)
        gap = preference = None
        delta: Tensor | float = 1.0
        if self.measures_gap:
            with torch.set_grad_enabled(self.use_semantic and torch.is_grad_enabled()):
                semantic, gap = semantic_terms(decoded, batch.target, present)
            preference = relative_preference(gap, present)
            delta = self._delta(preference)
            if self.gradient_weight is not None:
                self.gradient_weight.record(gap, preference, present)
            if self.use_semantic:
                weight = self.semantic_weight * delta * self.balance
                terms["semantic"] = Term(semantic, weight)
        beta = self.gradient_weight.beta.clone() if self.gradient_weight is not None else 1.0
        if self.use_pixel:
            pixel = pixel_distillation(decoded, self.temperature)
            pixel = scatter_pairs(pixel, decoded.case, decoded.modality, present)
            terms["pixel"] = Term(pixel, self.pixel_weight * beta * self.balance)
        if self.form == "reference":
            alone = losses_alone(network, encoding, decoded, terms["segmentation"].value, batch.target)
            terms["unimodal"] = Term(alone, delta * beta * self.balance)
        return Losses(terms, preference, gap)

    def end_epoch(self) -> None:
        """Update beta."""
        if self.gradient_weight is not None:
            self.gradient_weight.update()

    def _delta(self, preference: Tensor) -> Tensor | float:
        if not self.use_delta:
            return 1.0
        if self.form == "reference":
            return task_mask(sum_over_processes(preference.sum(0)))
        return task_mask(preference)


def semantic_terms(decoded: TeacherAndStudents, target: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """L_proto and D of every modality that is present, (B, M) each; 0 where absent or the teacher itself."""
    place = (decoded.case, decoded.modality, present)
    loss, gap = semantic_distillation(decoded, target)
    return scatter_pairs(loss, *place), scatter_pairs(gap, *place)


@torch.no_grad()
def measure_preference(network: Segmenter, batch: Batch) -> Losses:
    """Gap and relative preference of a batch, whatever it is trained with: Figure 6 needs the baseline's curve.

    The network stays as it is: running statistics of its norms, as of all its buffers, are put back.
    """
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    encoding = network.encode(batch.images, batch.present)
    present = batch.present.to(batch.target.device, non_blocking=True)
    _, gap = semantic_terms(decode_teacher_and_students(network, encoding, batch.fed), batch.target, present)
    for buffer, value in buffers:
        buffer.data.copy_(value)  # Of `data`: a backward pass that is yet to come may have kept the buffer.
    return Losses(preference=relative_preference(gap, present), gap=gap)
