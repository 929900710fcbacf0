"""Checkpoints of the published code become run folders; nothing in them is executed."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import passion, refused

from passion.networks import published
from passion.runs import load_run

SHAPES = Path(__file__).parent / "parity" / "rfnet.state_dict.json"


def slices_state() -> dict[str, torch.Tensor]:
    """RFNet's published parameters with kernels of depth 1, as the published code for slices has them."""
    random = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in json.loads(SHAPES.read_text()).items():
        value = 0.1 * torch.randn(shape, generator=random)
        state[f"module.{name}"] = value[..., :1].clone() if value.ndim == 5 else value
    return state


def save(path: Path, **more: object) -> Path:
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": np.float64(1e-4)}]}
    torch.save({"epoch": 299, "state_dict": slices_state(), "optim_dict": optimizer, **more}, path)
    return path


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    passion("import-weights", "rfnet", save(folder / "model_last.pth"), "-o", folder / "run")
    return folder / "run"


def test_the_run_answers_as_the_published_weights_do(imported: Path) -> None:
    run = load_run(imported)
    direct = published.load("rfnet", slices_state()).eval()
    assert run.study.modalities == ("flair", "t1c", "t1", "t2")
    assert run.epoch == 300
    images, present = torch.randn(1, 4, 80, 80), torch.tensor([[True, False, True, True]])
    with torch.inference_mode():
        ours, theirs = (
            network.decode(network.encode(images, present), torch.tensor([0]), present).logits
            for network in (run.network, direct)
        )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_evaluate_and_predict_work_on_it(imported: Path, study: Path, raw: Path, tmp_path: Path) -> None:
    cases = sorted(path.name for path in raw.iterdir() if path.is_dir())
    pd.DataFrame({"case": cases[:1], "part": "test"}).to_csv(tmp_path / "split.csv", index=False)
    passion("evaluate", imported, "--prepared", study / "prepared", "--split", tmp_path / "split.csv",
            "--device", "cpu")  # fmt: skip
    scores = pd.read_csv(imported / "evaluation/test-last/scores.csv")
    assert len(scores) == 15 * 3
    assert "flair+t1c" in set(scores["subset"])
    image = raw / cases[0] / f"{cases[0]}_flair.nii.gz"
    passion("predict", imported, "--flair", image, "-o", tmp_path / "seg.nii.gz", "--device", "cpu")
    assert (tmp_path / "seg.nii.gz").exists()


class Trap:
    """Touches a file when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "evil.pth", extra=Trap(tmp_path / "trapped"))
    line = refused(capsys, "import-weights", "rfnet", path, "-o", tmp_path / "run")
    assert "evil.pth" in line
    assert not (tmp_path / "trapped").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("network", "more", "expected"),
    [
        ("mmformer", (), "not a published mmformer"),
        ("vgg", (), "no published network is called 'vgg'"),
        ("rfnet", ("--study", "Nowhere"), "study 'Nowhere' is unknown"),
    ],
)
def test_what_does_not_fit_is_refused(
    network: str, more: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "model.pth")
    assert expected in refused(capsys, "import-weights", network, path, "-o", tmp_path / "run", *more)
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.pth").write_text("no")
    assert "model.pth" in refused(capsys, "import-weights", "rfnet", tmp_path / "model.pth", "-o", tmp_path / "run")
    assert "no such file" in refused(capsys, "import-weights", "rfnet", tmp_path / "none.pth", "-o", tmp_path / "run")
