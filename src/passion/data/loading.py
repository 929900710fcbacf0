"""Batches."""
from dataclasses import dataclass, replace
import torch
from torch import Tensor

@dataclass(frozen=True)
class Batch:
    images: Tensor
    present: Tensor
    fed: Tensor
    target: Tensor
