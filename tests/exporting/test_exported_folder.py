"""An exported model answers as its run does, from its folder alone; what was changed or cannot be shared is refused."""

import hashlib
import inspect
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from command_line import passion, refused
from safetensors import safe_open
from safetensors.numpy import save
from untrained import untrained_run

from passion import models, predict
from passion.data.sources.brats import BRATS2020
from passion.data.study import Region, Study
from passion.plugins import import_class
from passion.runs import load_run

FIRST = "BraTS20_Training_001"
SMALL_RFNET = {"name": "rfnet", "width": 4}


def image(raw: Path, suffix: str) -> Path:
    return raw / FIRST / f"{FIRST}_{suffix}.nii.gz"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_predictions_are_those_of_the_run_bit_for_bit(trained: Path, model: Path, raw: Path) -> None:
    for files in ({"t1c": image(raw, "t1ce"), "flair": image(raw, "flair")}, {"t2": image(raw, "t2")}):
        run, exported = (predict(folder, files, device="cpu", probabilities=True) for folder in (trained, model))
        np.testing.assert_array_equal(exported.in_box, run.in_box)
        np.testing.assert_array_equal(exported.labels, run.labels)
        assert exported.study == run.study


def test_runs_and_exported_models_are_averaged_together(trained: Path, model: Path, raw: Path, tmp_path: Path) -> None:
    other = untrained_run(tmp_path / "other", load_run(model).study, SMALL_RFNET)
    passion("export", other, "-o", tmp_path / "model")
    files = {"t1": image(raw, "t1")}
    together = [[trained, other], [model, tmp_path / "model"]]
    runs, mixed = (predict(folders, files, device="cpu", probabilities=True) for folders in together)
    np.testing.assert_array_equal(mixed.in_box, runs.in_box)


def test_evaluation_needs_the_folder_alone_and_leaves_it_as_it_is(
    trained: Path, model: Path, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, tmp_path / "received")
    before = contents(model)
    monkeypatch.chdir(tmp_path)
    words = ("--prepared", study / "prepared", "--split", study / "split.csv", "--device", "cpu")
    passion("evaluate", "received", *words)
    assert contents(tmp_path / "received") == before
    found, own = (
        pd.read_csv(path / "scores.csv")
        for path in (tmp_path / "received-evaluation/test", trained / "evaluation/test-last")
    )
    pd.testing.assert_frame_equal(found, own)


def test_the_second_decoder_is_left_out_and_answers_stay(tmp_path: Path) -> None:
    run = untrained_run(tmp_path / "run", BRATS2020, SMALL_RFNET, objective="baseline")
    passion("export", run, "-o", tmp_path / "model")
    whole, lean = (load_run(tmp_path / name).network for name in ("run", "model"))
    assert {name.split(".")[0] for name in whole.state_dict()} - {name.split(".")[0] for name in lean.state_dict()} == {
        "unimodal_decoder"
    }
    images, present = torch.randn(1, 4, 32, 32, 32), torch.tensor([[True, False, True, True]])
    with torch.inference_mode():
        answers = [
            network.decode(network.encode(images, present), torch.tensor([0]), present).logits
            for network in (whole, lean)
        ]
    assert torch.equal(*answers)


def test_networks_of_monai_go_along_too(tmp_path: Path) -> None:
    options = {"name": "early_fusion", "class_path": "monai.networks.nets.BasicUNet",
               "init_args": {"features": [4, 4, 8, 8, 16, 4]}}  # fmt: skip
    run = untrained_run(tmp_path / "run", BRATS2020, options)
    passion("export", run, "-o", tmp_path / "model")
    networks = [load_run(tmp_path / name).network for name in ("run", "model")]
    images, present = torch.randn(1, 4, 32, 32, 32), torch.tensor([[True, False, True, True]])
    with torch.inference_mode():
        answers = [net.decode(net.encode(images, present), torch.tensor([0]), present).logits for net in networks]
    assert torch.equal(*answers)


def test_the_files_are_what_other_libraries_and_the_checksums_say(trained: Path, model: Path) -> None:
    card = json.loads((model / "card.json").read_text())
    assert hashlib.sha256((model / "weights.safetensors").read_bytes()).hexdigest() == card["sha256"][models.WEIGHTS]
    checkpoint = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    with safe_open(model / "weights.safetensors", "pt") as weights:
        for name in weights.keys():  # noqa: SIM118
            assert torch.equal(weights.get_tensor(name), checkpoint[f"network.{name}"])


def test_the_same_run_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    for kind in ("safetensors", "monai"):
        for number in (1, 2):
            passion("export", trained, "-o", tmp_path / f"{kind}{number}", "--format", kind)
        assert contents(tmp_path / f"{kind}1") == contents(tmp_path / f"{kind}2")


Spoil = Callable[[dict[str, Any], Path], None]


def resigned(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change a card and make its checksum right again, as one who means it would."""

    def spoil(card: dict[str, Any], folder: Path) -> None:
        change(card)
        sums = card.pop("sha256")
        text = json.dumps(card, sort_keys=True, separators=(",", ":"))
        card["sha256"] = {**sums, "card": hashlib.sha256(text.encode()).hexdigest()}
        (folder / "card.json").write_text(json.dumps(card))

    return spoil


def edited(card: dict[str, Any], folder: Path) -> None:
    card["study"]["modalities"].reverse()
    (folder / "card.json").write_text(json.dumps(card))


def truncated(card: dict[str, Any], folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


def other_weights(content: bytes) -> Spoil:
    def spoil(card: dict[str, Any], folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(content)
        sums = {**card["sha256"], "weights.safetensors": hashlib.sha256(content).hexdigest()}
        (folder / "card.json").write_text(json.dumps({**card, "sha256": sums}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (edited, "card.json: is not as it was exported"),
        (truncated, "weights.safetensors: is not as it was exported"),
        (lambda card, folder: (folder / "weights.safetensors").unlink(), "weights.safetensors: cannot be read"),
        (lambda card, folder: (folder / "card.json").write_text("{"), "card.json: cannot be read as JSON"),
        (lambda card, folder: (folder / "card.json").write_text("[]"), "card.json: does not describe a study"),
        (resigned(lambda card: card.update(format=2)), "has format 2, this version of passion reads up to 1"),
        (resigned(lambda card: card.pop("format")), "is not the card of an exported model"),
        (resigned(lambda card: card.pop("network")), "lacks 'network'"),
        (resigned(lambda card: card.pop("inference")), "lacks 'inference'"),
        (resigned(lambda card: card["network"].update(depth=0)), "depth 0"),
        (resigned(lambda card: card["network"].update(width=8)), "does not fit the network of the card"),
        (resigned(lambda card: card["network"].update(name="vgg")), "network 'vgg' is unknown"),
        (resigned(lambda card: card["network"].update(name="own_networks.SumOfModalities")), "code from elsewhere"),
        (other_weights(b"no weights"), "cannot be read as safetensors"),
        (other_weights(save({"a": np.zeros(2)})), "does not fit the network of the card"),
    ],
)
def test_a_model_that_is_not_as_it_was_exported_is_refused(
    spoil: Spoil,
    said: str,
    model: Path,
    raw: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    spoil(json.loads((folder / "card.json").read_text()), folder)
    line = refused(capsys, "predict", folder, "--t1", image(raw, "t1"), "-o", tmp_path / "seg.nii.gz")
    assert said in line
    assert str(folder) in line
    assert len(line) < 400
    assert not (tmp_path / "seg.nii.gz").exists()
    assert "own_networks" not in sys.modules


def test_other_modalities_and_other_studies_are_refused(model: Path, raw: Path, study: Path, tmp_path, capsys) -> None:
    out = tmp_path / "seg.nii.gz"
    assert "--pet" in refused(capsys, "predict", model, "--pet", image(raw, "t1"), "-o", out)
    assert "give at least one modality" in refused(capsys, "predict", model, "-o", out)
    hearts = Study("Hearts", ("lge", "t2"), {"background": 0, "scar": 1}, {"scar": Region(("scar",))})
    other = untrained_run(tmp_path / "hearts", hearts, SMALL_RFNET)
    passion("export", other, "-o", tmp_path / "other")
    line = refused(capsys, "predict", model, tmp_path / "other", "--t2", image(raw, "t2"), "-o", out)
    assert "another study" in line
    words = ("--prepared", study / "prepared", "--split", study / "split.csv")
    assert "was trained on Hearts" in refused(capsys, "evaluate", tmp_path / "other", *words)
    assert not (tmp_path / "other-evaluation").exists()


def test_evaluation_asks_for_what_the_folder_does_not_hold(model: Path, study: Path, capsys) -> None:
    assert "--prepared: is needed" in refused(capsys, "evaluate", model, "--split", study / "split.csv")
    assert "--split: is needed" in refused(capsys, "evaluate", model, "--prepared", study / "prepared")


def without_checkpoint(run: Path) -> None:
    (run / "checkpoints/last.ckpt").unlink()


def scores_of_another_epoch(run: Path) -> None:
    path = run / "evaluation/test-last/settings.json"
    path.write_text(path.read_text().replace('"epoch": 2', '"epoch": 1'))


def with_code(run: Path) -> None:
    content = yaml.safe_load((run / "config.yaml").read_text())
    content["network"] = {"name": "own_networks.SumOfModalities"}
    (run / "config.yaml").write_text(yaml.safe_dump(content))


def without_study(run: Path) -> None:
    (run / "study.json").unlink()


@pytest.mark.parametrize("kind", ["safetensors", "monai"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_checkpoint, "no such checkpoint"),
        (scores_of_another_epoch, "scores the checkpoint of epoch 1, not of 2"),
        (with_code, "'own_networks.SumOfModalities' is code from elsewhere"),
        (without_study, "is not a run folder"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_written(
    spoil: Callable[[Path], None], said: str, kind: str, trained: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    spoil(run)
    assert said in refused(capsys, "export", run, "-o", tmp_path / "out", "--format", kind)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert "own_networks" not in sys.modules


def test_places_are_checked(trained: Path, model: Path, tmp_path: Path, capsys) -> None:
    assert "exists" in refused(capsys, "export", trained, "-o", tmp_path)
    assert "is an exported model already" in refused(capsys, "export", model, "-o", tmp_path / "out")
    assert "is not a run folder" in refused(capsys, "export", tmp_path, "-o", tmp_path / "out")
    line = refused(capsys, "export", trained, "-o", tmp_path / "out", "--format", "onnx")
    assert "--format onnx: must be safetensors or monai" in line


@pytest.mark.parametrize("name", models.KNOWN_CLASSES)
def test_networks_that_a_card_may_name_exist_and_read_nothing(name: str) -> None:
    parameters = inspect.signature(import_class(name, torch.nn.Module)).parameters
    assert not [key for key in parameters if key.startswith("pretrained") or key.endswith(("path", "url", "file"))]
