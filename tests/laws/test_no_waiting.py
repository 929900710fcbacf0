"""A training step never waits for its device: it runs where tensors have no values, and copies nothing in between."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from passion.data.augment import AugmentationSettings, draw_augmentation
from passion.data.loading import Batch
from passion.networks import NETWORKS, build, network_class
from passion.objectives import OBJECTIVES, objective_class
from passion.training.averages import Averages

aten = torch.ops.aten
VALUELESS = torch.device("meta")


class NoWaiting(TorchDispatchMode):
    """Refuses what would stop a GPU: blocking copies to it and indices that lie elsewhere.

    Reading values (`item`, `nonzero`, boolean indices) fails by itself where there are none.
    """

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Any = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        named = named or {}
        first = arguments[0] if arguments else None
        if operation is aten._to_copy.default and first.device.type == "cpu" and named.get("device") == VALUELESS:
            assert named.get("non_blocking"), "a copy that waits"
        if operation in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default) and first.is_meta:
            assert all(index.is_meta for index in arguments[1] if index is not None), "an index that lies elsewhere"
        return operation(*arguments, **named)


class NoTensorsFromNumbers(TorchFunctionMode):
    """Refuses `torch.tensor` and `torch.as_tensor` on the device: both make it on the CPU and wait for the copy."""

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function in (torch.tensor, torch.as_tensor) and not isinstance(arguments[0], torch.Tensor):
            assert named.get("device") != VALUELESS, "a copy that waits"
        return function(*arguments, **named)


@pytest.fixture
def batch() -> Batch:
    present = torch.tensor([[True, True, False], [True, False, False]])
    images, target = torch.empty(2, 3, 32, 32), torch.empty(2, 32, 32, dtype=torch.int64)
    return Batch(images.to(VALUELESS), present, present, target.to(VALUELESS))


def options_of(network: str) -> dict[str, object]:
    options = {"modalities": 3, "classes": 3, "spatial_dims": 2, "patch_size": 32, **network_class(network).TINY}
    return {**options, "class_path": "monai.networks.nets.BasicUNet"} if network == "early_fusion" else options


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_step_does_not_wait(network: str, objective: str, batch: Batch) -> None:
    goal = objective_class(objective)(torch.ones(3))
    model = build(network, **options_of(network)).to(VALUELESS)
    goal = goal.to(VALUELESS)
    with NoWaiting(), NoTensorsFromNumbers():
        losses = goal(model, batch)
        losses.total.backward()
        Averages(["a", "b", "c"]).add_losses(losses, batch.present)
    assert any(parameter.grad is not None for parameter in model.parameters())


def test_augmentation_does_not_wait(batch: Batch) -> None:
    random = np.random.default_rng(0)
    draws = tuple(draw_augmentation(AugmentationSettings(), 2, 3, random) for _ in range(2))
    with NoWaiting():
        done = replace(batch, augmentations=draws).augmented()
    assert done.images.shape == batch.images.shape


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: torch.zeros(3).to(VALUELESS),
        lambda x: torch.as_tensor(3.0, device=VALUELESS),
        lambda x: x[torch.tensor([0])],
        lambda x: x[x > 0],
        lambda x: x.sum().item(),
    ],
    ids=["copy", "number", "index", "mask", "value"],
)
def test_what_waits_is_found(waiting: Callable[[torch.Tensor], object]) -> None:
    with NoWaiting(), NoTensorsFromNumbers(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        waiting(torch.empty(3, device=VALUELESS))
