"""Means over an epoch and over all processes, gathered without waiting for the device."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from passion.objectives import Losses
from passion.objectives.preference import sum_over_processes

HISTORY_COLUMNS = ["epoch", "quantity", "part", "value"]


class Averages:
    """Running sums of named vectors, one entry a part (a modality, a region, or the whole).

    Args:
        modalities: names, for the quantities that have one entry a modality.
    """

    def __init__(self, modalities: Sequence[str]) -> None:
        self.modalities = list(modalities)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor] = {}
        self._parts: dict[str, list[str]] = {}

    def add(self, quantity: str, sums: Tensor, parts: Sequence[str] = ("",), counts: Tensor | float = 1.0) -> None:
        """Add `sums`, (L,) for L parts, of `counts` samples, (L,) on the same device or one number for all.

        >>> averages = Averages(["t1"])
        >>> averages.add("dice", torch.tensor([1.0, 2.0]), ["WT", "TC"])
        >>> averages.add("dice", torch.tensor([0.0, 1.0]), ["WT", "TC"])
        >>> averages.mean("dice").tolist()
        [0.5, 1.5]
        """
        sums = sums.detach().double()
        counts = counts.to(sums) if isinstance(counts, Tensor) else torch.full_like(sums, counts)
        self._parts[quantity] = list(parts)
        for kept, now in ((self._sums, sums), (self._counts, counts)):
            kept[quantity] = kept[quantity] + now if quantity in kept else now

    def add_losses(self, losses: Losses, present: Tensor) -> None:
        """Add every term as it stands before it is weighted, and the total."""
        for name, term in losses.terms.items():
            if term.value.ndim == 1:
                self.add(name, term.value.sum(0, keepdim=True), counts=len(term.value))
            else:
                counts = present.to(term.value.device, non_blocking=True).sum(0)
                self.add(name, term.value.sum(0), self.modalities, counts)
        self.add("total", losses.total[None] * len(present), counts=len(present))
        self.add_preference(losses, present)

    def add_preference(self, losses: Losses, present: Tensor) -> None:
        """Add gap and relative preference, where they were measured."""
        for name, values in (("preference", losses.preference), ("gap", losses.gap)):
            if values is not None:
                self.add(name, values.sum(0), self.modalities, present.to(values.device, non_blocking=True).sum(0))

    def mean(self, quantity: str) -> Tensor:
        """Means over all processes, (L,); NaN for a part without samples."""
        return self._mean_and_count(quantity)[0]

    def table(self, epoch: int) -> pd.DataFrame:
        """All means as rows of `epoch, quantity, part, value`; parts without samples are left out."""
        rows = [
            (epoch, quantity, part, value)
            for quantity, parts in self._parts.items()
            for part, value, count in zip(parts, *map(Tensor.tolist, self._mean_and_count(quantity)), strict=True)
            if count
        ]
        return pd.DataFrame(rows, columns=HISTORY_COLUMNS)

    def _mean_and_count(self, quantity: str) -> tuple[Tensor, Tensor]:
        count = sum_over_processes(self._counts[quantity])
        return sum_over_processes(self._sums[quantity]) / count, count
