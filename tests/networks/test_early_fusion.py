"""Ordinary networks, MONAI's and a user's, in the place of a Segmenter."""

from pathlib import Path

import pytest
import torch
from command_line import passion, refused
from own_networks import SumOfModalities, TwoConvolutions

from passion.errors import InputError
from passion.networks import build
from passion.runs import load_run

SUBSET = torch.tensor([[True, True], [False, True]])
TWICE = torch.tensor([0, 0])
DYNUNET = {
    "kernel_size": [3, 3, 3], "strides": [1, 2, 2], "upsample_kernel_size": [2, 2], "filters": [4, 8, 16],
    "deep_supervision": True, "deep_supr_num": 1,
}  # fmt: skip


def wrapped(class_path: str, **more: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build("early_fusion", modalities=2, classes=3, spatial_dims=2, patch_size=16, class_path=class_path, **more)


def images() -> torch.Tensor:
    return torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))


def own(**more: object) -> torch.nn.Module:
    return wrapped("own_networks.TwoConvolutions", init_args={"channels": 2, "classes": 3}, **more)


def test_a_row_is_the_network_on_images_with_zeros_filled_in() -> None:
    network, x = own(), images()
    out = network.decode(network.encode(x, torch.ones(1, 2, dtype=torch.bool)), TWICE, SUBSET)
    plain: TwoConvolutions = network.network
    for row, filled in enumerate((x, x * torch.tensor([0.0, 1.0])[None, :, None, None])):
        torch.testing.assert_close(out.logits[row], plain(filled)[0])
        torch.testing.assert_close(out.features[row], torch.relu(plain.first(filled))[0])
    assert out.deep_logits == ()


def test_a_named_layer_gives_the_features() -> None:
    network, x = own(features_layer="first"), images()
    out = network.decode(network.encode(x, SUBSET[:1]), TWICE[:1], SUBSET[:1])
    torch.testing.assert_close(out.features, x)
    with pytest.raises(InputError, match="no such layer"):
        own(features_layer="nowhere")


def test_stacked_heads_of_dynunet_are_taken_apart() -> None:
    network, x = wrapped("monai.networks.nets.DynUNet", init_args=DYNUNET), images()
    encoding = network.encode(x, SUBSET[:1])
    out = network.train().decode(encoding, TWICE[:1], SUBSET[:1])
    stacked = network.network(x)
    assert stacked.shape[1] == 2
    torch.testing.assert_close(out.logits, stacked[:, 0])
    torch.testing.assert_close(out.deep_logits[0], stacked[:, 1])
    assert network.eval().decode(encoding, TWICE[:1], SUBSET[:1]).deep_logits == ()
    assert out.features.shape == (1, 4, 16, 16)


@pytest.mark.parametrize("path", ["nowhere.Net", "own_networks.Nothing", "os.path.join"])
def test_class_paths_that_lead_nowhere_are_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"cannot be imported|is no Module"):
        wrapped(path)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="init_args"):
        wrapped("monai.networks.nets.UNet", init_args={"channels": [4, 8]})


def slices_words(study: Path, out: Path, *more: object) -> list[object]:
    return ["train", "--data.prepared", study / "prepared", "--data.split", study / "split.csv", "--data.presence",
            study / "presence.csv", "--data.spatial_dims", 2, "--data.patch_size", 32, "--data.workers", 0,
            "--data.samples_per_epoch", 4, "--training.epochs", 1, "--training.validate_every", 0,
            "--training.accelerator", "cpu", "--out", out, *more]  # fmt: skip


def test_monais_unet_trains_with_passion_by_class_path(study: Path, tmp_path: Path) -> None:
    passion(*slices_words(study, tmp_path / "run", "--network.class_path", "monai.networks.nets.UNet",
                          "--network.init_args.channels", "[4, 8]", "--network.init_args.strides", "[2]"))  # fmt: skip
    passion("evaluate", tmp_path / "run", "--device", "cpu")
    passion("train", "--out", tmp_path / "run", "--resume")


def test_a_segmenter_of_the_users_trains_with_passion_by_class_path(study: Path, tmp_path: Path) -> None:
    passion(*slices_words(study, tmp_path / "run", "--network.class_path", "own_networks.SumOfModalities",
                          "--network.hidden", 5))  # fmt: skip
    network = load_run(tmp_path / "run").network
    assert isinstance(network, SumOfModalities)
    assert network.last.in_channels == 5


def test_a_class_path_that_leads_nowhere_is_one_line(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, *slices_words(study, tmp_path / "run", "--network.class_path", "nowhere.Net"))
    assert "nowhere.Net" in line
    assert not (tmp_path / "run").exists()
