"""Multi-uni self-distillation: the fused prediction teaches each modality alone (section 3.2 of the paper)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from passion.networks.blocks import upsample
from passion.networks.contract import Decoding, Encoding, Segmenter, one_hot
from passion.objectives.segmentation import (
    LOWEST_PROBABILITY,
    deep_weights,
    in_full_precision,
    one_hot_target,
    scatter_pairs,
    segmentation_loss,
    unimodal_losses,
)

COSINE_EPS = 1e-5
"""Smallest norm that a feature or a prototype is divided by."""


@dataclass(frozen=True)
class TeacherAndStudents:
    """A teacher for each sample of a batch and its students, answers of one `decode`.

    Args:
        teacher: (B) rows, the fused prediction from all fed modalities.
        students: (P) rows, each a modality alone.
        case: (P,) int64, the sample of each student.
        modality: (P,) int64, the modality of each student.
    """

    teacher: Decoding
    students: Decoding
    case: Tensor
    modality: Tensor

    def for_students(self, rows: Tensor) -> Tensor:
        """What (B, ...) has for each student: (P, ...), or the only row, (1, ...), for all of them to share."""
        return rows if len(rows) == 1 else rows[self.case.to(rows.device, non_blocking=True)]


def decode_fed_and_alone(network: Segmenter, encoding: Encoding, fed: Tensor, alone: Tensor) -> TeacherAndStudents:
    """The fused prediction of every sample and the prediction of single modalities, in one `decode`.

    A modality that is all that a teacher was fed is not asked again: that student is the teacher.

    Args:
        network: answers.
        encoding: of a batch of B.
        fed: (B, M) bool, what the teachers see.
        alone: (B, M) bool, the modalities that are asked alone.
    """
    case, modality = alone.nonzero(as_tuple=True)
    every = torch.arange(len(fed), device=fed.device)
    asked = ~_all_that_is_fed(fed)[case, modality]
    subsets = torch.cat((fed, one_hot(modality[asked], fed.shape[1])))
    answers = network.decode(encoding, torch.cat((every, case[asked])), subsets)
    if asked.all():
        students = answers.rows(slice(len(fed), None))
    else:
        row = torch.where(asked, len(fed) - 1 + asked.cumsum(0), case)
        students = answers.rows(row.to(answers.logits.device, non_blocking=True))
    return TeacherAndStudents(answers.rows(slice(len(fed))), students, case, modality)


def decode_teacher_and_students(network: Segmenter, encoding: Encoding, fed: Tensor) -> TeacherAndStudents:
    """Ask for the teacher of every sample and for every encoded modality alone.

    Where a teacher was fed one modality only, that student is the teacher: nothing is to be learnt and it is left out.

    Args:
        network: answers.
        encoding: of a batch of B.
        fed: (B, M) bool, what the teachers see.
    """
    return decode_fed_and_alone(network, encoding, fed, encoding.present & ~_all_that_is_fed(fed))


def _all_that_is_fed(fed: Tensor) -> Tensor:
    """Where a modality is the only one that a teacher was fed: (B, M) bool -> the same."""
    return fed & (fed.sum(1, keepdim=True) == 1)


def losses_alone(
    network: Segmenter, encoding: Encoding, decoded: TeacherAndStudents, of_teacher: Tensor, target: Tensor
) -> Tensor:
    """L_reg of each encoded modality alone: (B, M), 0 where absent.

    A network without a second decoder has answered already: as a student, or as a teacher that was fed that modality
    alone.

    Args:
        network: that has decoded.
        encoding: of a batch of B.
        decoded: whose students are all encoded modalities but those that are all that a teacher was fed.
        of_teacher: segmentation losses of the teachers, (B,).
        target: (B, *space) int64 class indices.
    """
    if network.has_unimodal_decoder:
        return unimodal_losses(network, encoding, target)
    taught = target[decoded.case.to(target.device, non_blocking=True)]
    losses = segmentation_loss(decoded.students.logits.float().softmax(1), taught)
    matrix = scatter_pairs(losses, decoded.case, decoded.modality, encoding.present)
    of_others = encoding.present.clone()
    of_others[decoded.case, decoded.modality] = False
    return torch.where(of_others.to(matrix.device, non_blocking=True), of_teacher.unsqueeze(1), matrix)


@in_full_precision
def pixel_distillation(decoded: TeacherAndStudents, temperature: float) -> Tensor:
    """Pixel-wise self-distillation (Eq. 3): KL divergence of softened probabilities over all heads.

    temperature^2 times the mean over voxels and classes of t (log t - log s); weight 1 for the final head and
    1/2, 1/4, ... for the deep heads, whose probabilities are up-sampled before they are clipped to [0.005, 1].

    Args:
        decoded: the gradient flows through its students and not through its teachers.
        temperature: of the softmax.

    Returns:
        (P,) float32.
    """
    taught = _softened(decoded.teacher.detach(), temperature)
    learnt = _softened(decoded.students, temperature)
    return softened_divergence(learnt, [decoded.for_students(level) for level in taught], temperature)


def _softened(decoding: Decoding, temperature: float) -> list[Tensor]:
    """softmax(z / temperature) of every head, up-sampled to full size, finest first: (P, K, *space) each."""
    size = decoding.logits.shape[2:]
    heads = (decoding.logits, *decoding.deep_logits)
    return [upsample((logits.float() / temperature).softmax(1), size) for logits in heads]


def softened_divergence(student: list[Tensor], teacher: list[Tensor], temperature: float) -> Tensor:
    """The divergence of `pixel_distillation` from softened probabilities of every head: (P,).

    The teacher has P rows, or one that all students share.
    """
    weights = [1.0, *deep_weights(len(student) - 1)]
    total = torch.zeros(len(student[0]), device=student[0].device)
    for weight, learnt, taught in zip(weights, student, teacher, strict=True):
        total = total + weight * _ClippedDivergence.apply(learnt.flatten(1), taught.flatten(1))  # type: ignore[no-untyped-call]
    return temperature**2 * total


class _ClippedDivergence(torch.autograd.Function):
    """Mean over the entries of t (log t - log s), both clipped to [0.005, 1]: s (P, N), t (P, N) or (1, N) -> (P,).

    PyTorch's own gradients of clipping, logarithm, difference and product would keep and pass over five tensors of
    this size, where one is needed.
    """

    @staticmethod
    def forward(ctx: Any, learnt: Tensor, taught: Tensor) -> Tensor:
        taught = taught.clamp(LOWEST_PROBABILITY, 1)
        ctx.save_for_backward(learnt, taught)
        difference = taught.log() - learnt.clamp(LOWEST_PROBABILITY, 1).log_()
        total: Tensor = torch.linalg.vecdot(taught, difference)
        return total / taught.shape[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        learnt, taught = ctx.saved_tensors
        inside = (learnt >= LOWEST_PROBABILITY) & (learnt <= 1)
        slope = learnt.clamp(min=LOWEST_PROBABILITY).reciprocal_().mul_(taught).mul_(inside)
        return slope.mul_(-gradient[:, None] / taught.shape[1]), None


@in_full_precision
def semantic_distillation(decoded: TeacherAndStudents, target: Tensor) -> tuple[Tensor, Tensor]:
    """Semantic-wise self-distillation (Eq. 4 to 8): each class's similarity map, student against teacher.

    Both sides use prototypes of their own, over the classes that the sample has.

    Args:
        decoded: the gradient flows through its students and not through its teachers.
        target: (B, *space) int64 class indices.

    Returns:
        The loss, mean of (S - T)^2 over voxels and classes, (P,); and the gap D, mean of |S - T|, (P,), without
        gradient.
    """
    truth = one_hot_target(target, decoded.teacher.logits.shape[1])
    taught = similarity_maps(decoded.teacher.features.detach(), truth)
    learnt = similarity_maps(decoded.students.features, decoded.for_students(truth))
    difference = learnt - decoded.for_students(taught)
    entries = decoded.for_students(truth.any(2).sum(1)) * difference.shape[2]
    loss = difference.square().sum((1, 2)) / entries
    gap = difference.detach().abs().sum((1, 2)) / entries
    return loss, gap


def similarity_maps(features: Tensor, truth: Tensor) -> Tensor:
    """Cosine of every voxel's features with the prototype (mean feature) of every class (Eq. 4 to 6).

    Args:
        features: (P, F, *space).
        truth: (P, K, V) float32 indicators of the classes, or (1, K, V) for all rows.

    Returns:
        (P, K, V); 0 for classes that the sample has not.

    >>> features = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]]])
    >>> similarity_maps(features, truth=torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]))
    tensor([[[1., 1., 0.],
             [0., 0., 1.]]])
    """
    voxels = features.float().flatten(2)
    prototypes = F.normalize(class_prototypes(voxels, truth), dim=2, eps=COSINE_EPS)
    norm = voxels.square().sum(1, keepdim=True).clamp(min=COSINE_EPS**2).sqrt()
    return prototypes @ voxels / norm


def class_prototypes(voxels: Tensor, truth: Tensor) -> Tensor:
    """Mean feature of each class (Eq. 4): (P, F, V) and indicators (P, K, V) -> (P, K, F); 0 for an absent class.

    >>> class_prototypes(torch.tensor([[[1.0, 3.0, 5.0]]]), truth=torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]))
    tensor([[[2.],
             [5.]]])
    """
    return truth @ voxels.transpose(1, 2) / truth.sum(2, keepdim=True).clamp(min=1)
