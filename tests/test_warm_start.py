"""Training that begins with another run's weights."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import passion, refused, training_words

from passion.configuration import Configuration
from passion.runs import load_run

STILL = ("--training.epochs", 1, "--training.learning_rate", 0, "--training.validate_every", 0)
"""A run whose weights stay what they are at the start."""


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_run(run).network.state_dict()


def test_weights_are_those_of_the_other_run(study: Path, trained: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    passion(*training_words(study, out, *STILL, "--training.start_from", trained))
    assert f"started from {trained}, taking over t1, t1c, flair, t2\n" in capsys.readouterr().err
    theirs = weights(trained)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(out).items())
    assert Configuration.from_file(out / "config.yaml").training.start_from == trained
    shutil.move(trained, tmp_path / "elsewhere")
    try:
        passion("train", "--out", out, "--resume")
    finally:
        shutil.move(tmp_path / "elsewhere", trained)


def test_an_exported_model_is_as_good_as_its_run(study: Path, trained: Path, tmp_path: Path, capsys) -> None:
    passion("export", trained, "-o", tmp_path / "model")
    passion(*training_words(study, tmp_path / "run", *STILL, "--training.start_from", tmp_path / "model"))
    assert "taking over t1, t1c, flair, t2\n" in capsys.readouterr().err
    theirs = weights(trained)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(tmp_path / "run").items())


def test_modalities_are_matched_by_name_and_the_rest_is_new(
    raw: Path, study: Path, trained: Path, tmp_path: Path, capsys
) -> None:
    rows = ["case,flair,dwi,t1,label"]
    for folder in sorted(raw.glob("*"))[:3]:
        files = [folder / f"{folder.name}_{suffix}.nii.gz" for suffix in ("flair", "t2", "t1", "seg")]
        rows.append(",".join([folder.name, *map(str, files)]))
    (tmp_path / "other.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "other.yaml").write_text(
        "name: other\nmodalities: [flair, dwi, t1]\nclasses: {background: 0, NCR/NET: 1, edema: 2, ET: 4}\n"
        "regions: {all: [edema]}\n"
    )
    passion("split", tmp_path / "other.csv", "--sizes", "1,1,1", "-o", tmp_path / "split.csv")
    passion("prepare", tmp_path / "other.csv", tmp_path / "prepared", "--workers", 0)
    words = list(training_words(tmp_path, tmp_path / "run", *STILL, "--training.start_from", trained))
    position = words.index("--data.presence")
    passion(*words[:position], *words[position + 2 :])
    said = capsys.readouterr().err
    assert "taking over flair, t1; new: the parts of dwi, the parts that tell classes apart" in said
    ours, theirs = weights(tmp_path / "run"), weights(trained)
    for here, there in ((0, 2), (2, 0)):
        name = "encoders.{}.refine.2.1.convolution.weight"
        assert torch.equal(ours[name.format(here)], theirs[name.format(there)])
    assert torch.equal(ours["positions"][[0, 2]], theirs["positions"][[2, 0]])
    assert torch.equal(ours["inter.0.projection.weight"], theirs["inter.0.projection.weight"])
    heads = [name for name in ours if name.startswith("fusion_decoder.heads")]
    assert heads
    assert not any(np.array_equal(ours[name], theirs[name]) for name in heads if name.endswith("weight"))


def test_objectives_may_differ(study: Path, trained: Path, tmp_path: Path, capsys) -> None:
    passion(*training_words(study, tmp_path / "a", *STILL, "--training.start_from", trained, objective="baseline"))
    assert "new: the second decoder" in capsys.readouterr().err
    passion(*training_words(study, tmp_path / "b", *STILL, "--training.start_from", tmp_path / "a"))
    assert "new" not in capsys.readouterr().err.partition("started from")[2].splitlines()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network.width", 8, "--network.heads", 4], "has --network.heads 2, not 4; has --network.width 4, not 8"),
        (["--data.patch_size", 48], "was trained on patches of 32 x 32 x 32, not of 48 x 48 x 48"),
        (["--data.spatial_dims", 2], "works in 3 dimensions, not in 2"),
        (["--training.start_from", "nowhere"], "nowhere: is not a run folder"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: list, said: str, study: Path, trained: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "run"
    assert said in refused(capsys, *training_words(study, out, "--training.start_from", trained, *words))
    assert not out.exists()


def test_another_network_is_refused(study: Path, trained: Path, tmp_path: Path, capsys) -> None:
    words = list(training_words(study, tmp_path / "run", "--training.start_from", trained, "--network.name", "rfnet"))
    first = words.index("--network.token_dim")
    assert "has --network.name mmformer, not rfnet" in refused(capsys, *words[:first], *words[first + 6 :])
