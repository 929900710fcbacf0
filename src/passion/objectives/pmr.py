"""PMR: prototypical modal rebalance (Fan et al., CVPR 2023), for segmentation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from passion.data.loading import Batch
from passion.networks.contract import Segmenter
from passion.objectives.contract import Losses, Objective, Term
from passion.objectives.distillation import class_prototypes, decode_fed_and_alone, losses_alone
from passion.objectives.segmentation import (
    LOWEST_PROBABILITY,
    in_full_precision,
    one_hot_target,
    scatter_pairs,
    task_terms,
)

SMALLEST_SQUARE = 1e-12
"""Squared distances are kept above this, where the root has a finite slope."""


class PMR(Objective):
    """The baseline, plus a prototypical cross entropy that drives on the modalities that lag behind.

    Each voxel of a modality's own prediction is classified by softmax(-distance) to the sample's class prototypes.
    With s^m the mean probability of the true class and o^m the mean of s over the sample's other modalities, the
    prototypical cross entropy of m is weighted by alpha clip(o^m / s^m - 1, 0, 1): the paper's ratio of two
    modalities, for any number of them. In the first epochs mu clip(s^m / o^m - 1, 0, 1) times the entropy of m is
    subtracted, which slows the modality that is ahead.

    alpha = 1 is the value of the paper's published code. That code leaves the entropy term out and the paper gives
    no single value for it, so `entropy_weight` and `entropy_epochs` are options with our defaults.

    Args:
        inverse_presence: N / N_m of each modality, (M,).
        prototype_weight: alpha.
        entropy_weight: mu.
        entropy_epochs: epochs with the entropy term.
    """

    needs_unimodal_decoder = True
    epoch: Tensor

    def __init__(
        self,
        inverse_presence: Tensor,
        prototype_weight: float = 1.0,
        entropy_weight: float = 0.1,
        entropy_epochs: int = 10,
    ) -> None:
        super().__init__(inverse_presence)
        self.prototype_weight = prototype_weight
        self.entropy_weight = entropy_weight
        self.entropy_epochs = entropy_epochs
        self.register_buffer("epoch", torch.tensor(0))

    def forward(self, network: Segmenter, batch: Batch) -> Losses:
        """See `Objective.forward`."""
        encoding = network.encode(batch.images, batch.present)
        several = batch.present.sum(1, keepdim=True) > 1
        decoded = decode_fed_and_alone(network, encoding, batch.fed, batch.present & several)
        terms = task_terms(decoded.teacher, batch.target)
        alone = losses_alone(network, encoding, decoded, terms["segmentation"].value, batch.target)
        terms["unimodal"] = Term(alone)
        device = batch.target.device
        place = (decoded.case, decoded.modality, batch.present.to(device, non_blocking=True))
        target = batch.target[decoded.case.to(device, non_blocking=True)]
        found = prototype_scores(decoded.students.features, target, network.classes)
        lag, lead = lag_and_lead(scatter_pairs(found.score, *place))
        terms["prototype"] = Term(scatter_pairs(found.cross_entropy, *place), self.prototype_weight * lag)
        early = (self.epoch < self.entropy_epochs).float()
        terms["prototype_entropy"] = Term(scatter_pairs(found.entropy, *place), -self.entropy_weight * early * lead)
        return Losses(terms)

    def end_epoch(self) -> None:
        """Count the epochs."""
        self.epoch += 1


@dataclass(frozen=True)
class PrototypeScores:
    """How well voxels are told apart by the distance to class prototypes; (P,) each.

    Args:
        cross_entropy: mean over voxels of -log p, p of the true class.
        entropy: mean over voxels of the entropy of p.
        score: mean over voxels of p of the true class, without gradient.
    """

    cross_entropy: Tensor
    entropy: Tensor
    score: Tensor


@in_full_precision
def prototype_scores(features: Tensor, target: Tensor, classes: int) -> PrototypeScores:
    """Classify every voxel by softmax(-|z - c_k|) over the classes that the sample has.

    The prototypes carry no gradient: in PMR they are constants that features are drawn to.

    Args:
        features: (P, F, *space).
        target: (P, *space) int64 class indices.
        classes: K.
    """
    truth = one_hot_target(target, classes)
    voxels = features.float().flatten(2)
    prototypes = class_prototypes(voxels.detach(), truth)
    squares = prototypes.square().sum(2, keepdim=True) - 2 * prototypes @ voxels + voxels.square().sum(1, keepdim=True)
    closeness = -squares.clamp(min=SMALLEST_SQUARE).sqrt()
    probabilities = closeness.masked_fill(~truth.any(2, keepdim=True), -torch.inf).softmax(1)
    of_truth = (probabilities * truth).sum(1)
    logarithms = probabilities.clamp(LOWEST_PROBABILITY, 1).log()
    return PrototypeScores(
        cross_entropy=-of_truth.clamp(LOWEST_PROBABILITY, 1).log().mean(1),
        entropy=-(probabilities * logarithms).sum(1).mean(1),
        score=of_truth.detach().mean(1),
    )


def lag_and_lead(score: Tensor) -> tuple[Tensor, Tensor]:
    """clip(o / s - 1, 0, 1) and clip(s / o - 1, 0, 1), o the mean over the sample's other modalities.

    Args:
        score: s (B, M); 0 where a modality has none.

    Returns:
        (B, M) each; 0 where a modality has no score or no other one.

    >>> lag, lead = lag_and_lead(torch.tensor([[0.4, 0.6, 0.0], [0.5, 0.0, 0.0]]))
    >>> lag
    tensor([[0.5000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    >>> lead
    tensor([[0.0000, 0.5000, 0.0000],
            [0.0000, 0.0000, 0.0000]])
    """
    scored = score > 0
    others = (scored.sum(1, keepdim=True) - 1).clamp(min=1)
    average = (score.sum(1, keepdim=True) - score) / others
    comparable = scored & (average > 0)
    ratio = torch.where(comparable, average / score.clamp(min=torch.finfo(score.dtype).tiny), 1.0)
    return (ratio - 1).clamp(0, 1), (1 / ratio - 1).clamp(0, 1)
