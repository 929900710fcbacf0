"""Ours against the numbers of the published networks, for weights and inputs that a formula gives."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from passion.errors import InputError
from passion.networks import published
from passion.networks.contract import Segmenter
from passion.objectives.distillation import decode_teacher_and_students, pixel_distillation, semantic_distillation
from passion.objectives.segmentation import deep_supervision, segmentation_loss

FOLDER = Path(__file__).parent
NETWORKS = ["mmformer", "rfnet", "m2ftrans"]
TEMPERATURE = 4.0


def parameter(name: str, shape: list[int]) -> torch.Tensor:
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if name.endswith("pos"):
        value = 0.02 * noise
    elif name == "fusion":
        value = noise
    elif len(shape) >= 2:
        value = noise * np.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        value = 1 + 0.1 * noise
    else:
        value = 0.1 * noise
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.RandomState(20240725)
    image = random.standard_normal((1, 4, 80, 80, 80)).astype(np.float32)
    centre = random.uniform(30, 50, 3)
    distance = np.linalg.norm(np.moveaxis(np.indices((80, 80, 80)), 0, -1) - centre, axis=-1)
    labels = np.select([distance < 9, distance < 16, distance < 26], [1, 3, 2], 0)
    return torch.from_numpy(image), torch.from_numpy(labels)[None]


def published_shapes(network: str) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = json.loads((FOLDER / f"{network}.state_dict.json").read_text())
    return shapes


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest) -> tuple[str, Segmenter]:
    state = {f"module.{name}": parameter(name, shape) for name, shape in published_shapes(request.param).items()}
    return request.param, published.load(request.param, state).eval()


def published_terms(network: Segmenter, mask: str) -> dict[str, np.ndarray]:
    """What the published code calls prob, prm, sep, kl, proto and dist."""
    image, target = inputs()
    present = torch.tensor([[digit == "1" for digit in mask]])
    image[~present] = torch.nan
    encoding = network.encode(image, present)
    decoded = decode_teacher_and_students(network, encoding, present)
    out = {name: np.zeros(4, np.float32) for name in ("sep", "kl", "proto", "dist")}
    out["prob"] = decoded.teacher.logits.softmax(1)[0, :, ::8, ::8, ::8].numpy()
    out["prm"] = deep_supervision(decoded.teacher, target).numpy()
    for modality in present[0].nonzero().flatten().tolist():
        logits = network.decode_alone(encoding, torch.tensor([0]), torch.tensor([modality]))
        out["sep"][modality] = segmentation_loss(logits.softmax(1), target)
    out["kl"][decoded.modality] = pixel_distillation(decoded, TEMPERATURE)
    out["proto"][decoded.modality], out["dist"][decoded.modality] = semantic_distillation(decoded, target)
    return out


@pytest.mark.parametrize("mask", ["1111", "1010", "0001"])
def test_agrees_with_the_published_network(case: tuple[str, Segmenter], mask: str) -> None:
    name, network = case
    expected = np.load(FOLDER / f"{name}.npz")
    with torch.inference_mode():
        got = published_terms(network, mask)
    for term, value in got.items():
        truth = expected[f"{mask}/{term}"]
        difference = np.abs(value - truth).max()
        relative = (np.abs(value - truth) / np.maximum(np.abs(truth), 1e-12))[truth != 0]
        print(f"{name} {mask} {term}: {difference:.1e} {relative.max(initial=0):.1e}")
        if term == "prob":
            assert difference < 1e-4
        else:
            np.testing.assert_allclose(value, truth, rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_refuses_what_is_no_published_network(name: str) -> None:
    state = {key: torch.empty(shape, device="meta") for key, shape in published_shapes(name).items()}
    first, last = (next(key for key in keys if key.endswith("weight")) for keys in (state, reversed(state)))
    special = next((key for key in state if key.endswith("pos") or "modal_fusion" in key), last)
    larger = {key: torch.empty([extent + 1 for extent in state[key].shape], device="meta") for key in state}
    with torch.device("meta"):
        for key in (first, last, special):
            for wrong in ({k: v for k, v in state.items() if k != key}, {**state, key: larger[key]}):
                with pytest.raises(InputError, match=f"not a published {name}"):
                    published.load(name, wrong)
        with pytest.raises(InputError, match="no encoder"):
            published.load(name, {})
        with pytest.raises(InputError, match="there are: mmformer"):
            published.load("unet", state)
