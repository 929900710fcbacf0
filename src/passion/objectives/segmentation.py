"""The task loss, per sample (Eq. 1 and 2 of the paper)."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from passion.networks.blocks import upsample
from passion.networks.contract import Decoding, Encoding, Segmenter
from passion.objectives.contract import Term

LOWEST_PROBABILITY = 0.005
"""Probabilities are clipped here before a logarithm."""

DICE_EPS = 1e-7


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_full_precision(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Keep a loss out of autocast: nearly equal gaps decide over delta, and bf16 would blur them."""

    @wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        device = "cuda" if torch.is_autocast_enabled("cuda") else "cpu"
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return wrapped


def one_hot_target(target: Tensor, classes: int) -> Tensor:
    """Class indices (P, *space) int64 -> indicators (P, K, V) float32, V the number of voxels."""
    indicators = torch.zeros(len(target), classes, target.shape[1:].numel(), device=target.device)
    return indicators.scatter_(1, target.flatten(1).unsqueeze(1), 1.0)


@in_full_precision
def segmentation_loss(probabilities: Tensor, target: Tensor) -> Tensor:
    """Dice loss plus weighted cross entropy, per sample.

    Dice is 1 - (1/K) sum_k 2 sum(p_k y_k) / (sum p_k + sum y_k + 1e-7), background included. Cross entropy is the
    mean over the voxels of -w_k log(clip(p_k, 0.005, 1)) at the true class k, with w_k = 1 - (share of class k in
    the sample's voxels).

    Args:
        probabilities: (P, K, *space), sums of 1 over K.
        target: (P, *space) int64 class indices.

    Returns:
        (P,) float32.

    >>> target = torch.tensor([[[0, 1], [1, 1]]])
    >>> certain_and_right = torch.eye(2)[target].movedim(-1, 1)
    >>> segmentation_loss(certain_and_right, target).abs().item() < 1e-6
    True
    """
    p = probabilities.float().flatten(2)
    truth = one_hot_target(target, p.shape[1])
    voxels = p.shape[2]
    in_class = truth.sum(2)
    overlap: Tensor = torch.linalg.vecdot(p, truth)
    dice = 1 - (2 * overlap / (p.sum(2) + in_class + DICE_EPS)).mean(1)
    of_truth = p.gather(1, target.flatten(1).unsqueeze(1)).squeeze(1)
    weight = (1 - in_class / voxels).gather(1, target.flatten(1))
    cross_entropy = -(weight * of_truth.clamp(LOWEST_PROBABILITY, 1).log()).mean(1)
    return dice + cross_entropy


def deep_weights(heads: int) -> list[float]:
    """1/2, 1/4, 1/8, ... of the deep heads, finest first.

    >>> deep_weights(3)
    [0.5, 0.25, 0.125]
    """
    return [0.5**level for level in range(1, heads + 1)]


@in_full_precision
def deep_supervision(decoding: Decoding, target: Tensor) -> Tensor:
    """Weighted sum of the deep heads' segmentation losses, per sample; 0 without deep heads.

    Each head's probabilities are up-sampled linearly (corners aligned) to full size; the weights are
    1/2, 1/4, 1/8, ... from the finest to the coarsest.

    Args:
        decoding: P answers.
        target: (P, *space) int64 class indices.

    Returns:
        (P,) float32.
    """
    total = torch.zeros(len(target), device=target.device)
    for weight, logits in zip(deep_weights(len(decoding.deep_logits)), decoding.deep_logits, strict=True):
        probabilities = upsample(logits.float().softmax(1), target.shape[1:])
        total = total + weight * segmentation_loss(probabilities, target)
    return total


def task_terms(fused: Decoding, target: Tensor) -> dict[str, Term]:
    """L_seg of the fused prediction, in its two parts; the second only where there are deep heads."""
    terms = {"segmentation": Term(segmentation_loss(fused.logits.float().softmax(1), target))}
    if fused.deep_logits:
        terms["deep_supervision"] = Term(deep_supervision(fused, target))
    return terms


def unimodal_losses(network: Segmenter, encoding: Encoding, target: Tensor) -> Tensor:
    """L_reg of each encoded modality alone, through the uni-modal decoder: (B, M), 0 where absent."""
    case, modality = encoding.present.nonzero(as_tuple=True)
    logits = network.decode_alone(encoding, case, modality)
    losses = segmentation_loss(logits.float().softmax(1), target[case.to(target.device, non_blocking=True)])
    return scatter_pairs(losses, case, modality, encoding.present)


def scatter_pairs(values: Tensor, case: Tensor, modality: Tensor, present: Tensor) -> Tensor:
    """Put one value for each (case, modality) pair in its place of a (B, M) matrix of zeros."""
    matrix = values.new_zeros(present.shape)
    places = tuple(index.to(values.device, non_blocking=True) for index in (case, modality))
    return matrix.index_put(places, values)
