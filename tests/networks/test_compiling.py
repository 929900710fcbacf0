"""Compiled parts answer as the network itself, and are compiled once for each count of modalities."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.registry import lookup_backend
from torch._dynamo.utils import counters

from passion.data.loading import Batch
from passion.errors import InputError
from passion.networks import Segmenter, build
from passion.networks.blocks import PostNormConvolution, PreNormConvolution, upsample
from passion.objectives import objective_class


def step(network: Segmenter, present: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """Loss and gradients of PASSION on a batch of noise."""
    torch.manual_seed(0)
    images, target = torch.randn(1, 3, 32, 32), torch.randint(0, 3, (1, 32, 32))
    network.zero_grad()
    loss = objective_class("passion")(torch.ones(3))(network, Batch(images, present, present, target)).total
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in network.parameters()]


def test_compiled_parts_give_the_same_step() -> None:
    torch.manual_seed(0)
    network = build("rfnet", modalities=3, classes=3, spatial_dims=2, patch_size=32, width=4)
    compiled = copy.deepcopy(network)
    compiled.compile_parts(backend="aot_eager")
    assert list(compiled.state_dict()) == list(network.state_dict())
    counters.clear()
    graphs = []
    for pattern in ([True, True, False], [False, True, True]):
        loss, gradients = step(network, torch.tensor([pattern]))
        again, compiled_gradients = step(compiled, torch.tensor([pattern]))
        torch.testing.assert_close(again, loss)
        torch.testing.assert_close(compiled_gradients, gradients)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] > 0
    assert graphs[1] == graphs[0], "two of three modalities are two, whichever they are"


@pytest.mark.parametrize("layer", [PreNormConvolution, PostNormConvolution])
def test_compiled_layers_of_volumes_give_the_same(layer: type[PreNormConvolution]) -> None:
    torch.manual_seed(0)
    own, x = layer(3, 3, 4), torch.randn(1, 3, 6, 6, 6)
    results = []
    for transform in (own, torch.compile(own, backend="aot_eager")):
        own.zero_grad()
        out = transform(x)
        out[:, :2].square().sum().backward()
        results.append((out, own.convolution.weight.grad.clone()))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


def test_matrices_of_up_sampling_are_built_on_the_device() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return lookup_backend("aot_eager")(graph, inputs)

    def up(x: Tensor) -> Tensor:
        return upsample(upsample(x, (8, 12)), (16, 24))

    x = torch.randn(1, 2, 4, 6)
    torch.testing.assert_close(torch.compile(up, backend=keep)(x), up(x))
    (graph,) = graphs
    called = " ".join(str(node.target) for node in graph.graph.nodes if node.op.startswith("call"))
    assert "matmul" in called
    assert not any(word in called for word in ("eye", "interpolate"))
    torch.compile(up, backend=keep)(x.to("meta"))
    built = [node for node in graphs[-1].graph.nodes if "arange" in str(node.target)]
    assert built
    assert {node.kwargs["device"].type for node in built} == {"meta"}


def test_a_network_without_parts_says_so() -> None:
    network = build("early_fusion", modalities=2, classes=2, spatial_dims=2, patch_size=32)
    with pytest.raises(InputError, match="compile"):
        network.compile_parts()
