"""RFNet's region fusion against the sum that the paper writes."""

import torch

from passion.networks import all_subsets, build
from passion.networks.blocks import normalise_and_activate
from passion.networks.rfnet import RFNet


def test_regions_are_mixed_as_the_paper_writes_them() -> None:
    torch.manual_seed(0)
    network = build("rfnet", modalities=2, classes=3, spatial_dims=2, width=4, patch_size=16).double()
    assert isinstance(network, RFNet)
    encoding = network.encode(torch.randn(1, 2, 16, 16, dtype=torch.float64), torch.ones(1, 2, dtype=torch.bool))
    fusion = network.regions[0]
    case, subset = torch.zeros(3, dtype=torch.int64), all_subsets(2)
    pairs = encoding.pairs(case, subset)
    features = encoding.features[0].detach()
    p = torch.randn(3, 3, 16, 16, dtype=torch.float64).softmax(1)
    w = torch.rand(3, 3, 2, dtype=torch.float64) * subset[:, None]
    x = features.clone().requires_grad_()
    rows = torch.split(x.flatten(2)[pairs.row], [1, 1, 2])
    ours = fusion._mix(rows, w[pairs.answer, :, pairs.modality], p.flatten(2))
    ours.square().sum().backward()
    y = features.clone().requires_grad_()
    regions = torch.einsum("pkm,mcxy,pkxy->pkcxy", w, y, p)
    expected = fusion.fuse[0].convolution(regions.flatten(1, 2))
    expected.square().sum().backward()
    torch.testing.assert_close(ours, expected.flatten(2))
    torch.testing.assert_close(x.grad, y.grad)
    whole = fusion(features, encoding.shortcut[0].detach(), p, pairs)
    assert whole.shape == (3, 4, 16, 16)
    assert torch.isfinite(normalise_and_activate(whole)).all()


def test_regions_read_no_row_that_an_answer_does_not_see() -> None:
    torch.manual_seed(0)
    network = build("rfnet", modalities=2, classes=3, spatial_dims=2, width=4, patch_size=16)
    assert isinstance(network, RFNet)
    encoding = network.encode(torch.randn(2, 2, 16, 16), torch.ones(2, 2, dtype=torch.bool))
    pairs = encoding.pairs(torch.tensor([0, 1]), torch.tensor([[True, True], [True, False]]))
    features = encoding.features[0].detach().clone()
    features[encoding.row[1, 1]] = torch.nan
    fused = network.regions[0](features, encoding.shortcut[0], torch.randn(2, 3, 16, 16).softmax(1), pairs)
    assert torch.isfinite(fused).all()
