"""Slices: training, segmentation and scoring in two dimensions; grids that are resampled."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import passion, refused, training_words

from passion.data.boxes import Box
from passion.data.loading import draw_window
from passion.data.resampling import Grid, resample, resample_labels
from passion.errors import InputError
from passion.inference import segment
from passion.missingness import read_presence
from passion.networks import build


@pytest.fixture(scope="module")
def run(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("slices") / "run"
    passion(*training_words(study, out, "--data.spatial_dims", 2, "--data.samples_per_epoch", 4, "--data.crop",
                            "centre", objective="moddrop"))  # fmt: skip
    return out


def test_subjects_and_slices_are_scored(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for by, unit in (("subject", "[mm]"), ("slice", "[pixels]")):
        passion("evaluate", run, "--device", "cpu", "--by", by)
        assert f"HD95 pooled {unit}" in " ".join(capsys.readouterr().out.split())
    subjects = pd.read_csv(run / "evaluation/test-last/scores.csv")
    slices = pd.read_csv(run / "evaluation/test-last-by-slice/scores.csv")
    assert len(slices) == 40 * len(subjects)
    assert set(slices["case"].str.partition("_slice_")[0]) == set(subjects["case"])
    settings = json.loads((run / "evaluation/test-last-by-slice/settings.json").read_text())
    assert settings["distance_unit"] == "pixels"


def test_a_run_can_be_scored_in_another_precision(run: Path) -> None:
    passion("evaluate", run, "--device", "cpu", "--precision", "bf16")
    folder = run / "evaluation/test-last-bf16"
    assert json.loads((folder / "settings.json").read_text())["precision"] == "bf16"
    assert np.isfinite(pd.read_csv(folder / "scores.csv")["dice"]).all()


def test_a_volume_is_segmented_slice_by_slice() -> None:
    torch.manual_seed(0)
    network = build("rfnet", modalities=2, classes=3, spatial_dims=2, width=4, patch_size=32).eval()
    images, present = torch.randn(1, 2, 32, 32, 11), torch.ones(1, 2, dtype=torch.bool)
    subsets = torch.tensor([[True, False], [True, True]])
    got = segment(network, images, present, subsets)
    assert got.shape == (2, 32, 32, 11)
    with torch.inference_mode():
        for position in (0, 10):
            encoding = network.encode(images[..., position], present)
            answers = network.decode(encoding, torch.zeros(2, dtype=torch.int64), subsets)
            assert torch.equal(answers.logits.argmax(1), got[..., position].long())


def test_presence_can_be_given_for_each_slice_in_the_published_format(tmp_path: Path) -> None:
    path = tmp_path / "presence.csv"
    path.write_text(
        "data_name,mask_id,mask,pos_mask_ids\n"
        'a_slice_0,6,"[True, True, True]","[]"\n'
        'a_slice_1,1,"[False, True, False]","[]"\n'
    )
    presence = read_presence(path, ["a", "b"], ["lge", "bssfp", "t2"])
    assert presence.cases == ("a_slice_0", "a_slice_1")
    assert presence.matrix.astype(int).tolist() == [[1, 1, 1], [1, 0, 0]]
    with pytest.raises(InputError, match="BraTS2020 and MyoPS2020 only"):
        read_presence(path, ["a"], ["ct", "pet"])


def test_training_on_some_slices_only(study: Path, tmp_path: Path) -> None:
    cases = pd.read_csv(study / "presence.csv")
    rows = pd.concat([cases.assign(case=cases["case"] + f"_slice_{position}") for position in (18, 20)])
    rows.to_csv(tmp_path / "presence.csv", index=False)
    words = list(training_words(study, tmp_path / "run", "--data.spatial_dims", 2, "--training.epochs", 1))
    words[words.index("--data.presence") + 1] = tmp_path / "presence.csv"
    passion(*words)
    assert len(pd.read_csv(tmp_path / "run/presence.csv")) == 2 * len(cases)


def test_rows_of_slices_need_slices(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = pd.read_csv(study / "presence.csv")
    cases.assign(case=cases["case"] + "_slice_20").to_csv(tmp_path / "presence.csv", index=False)
    words = list(training_words(study, tmp_path / "run"))
    words[words.index("--data.presence") + 1] = tmp_path / "presence.csv"
    assert "--data.spatial_dims 2" in refused(capsys, *words)


def test_slices_that_a_case_does_not_have_are_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = pd.read_csv(study / "presence.csv")
    rows = cases.assign(case=cases["case"] + "_slice_39")
    words = list(training_words(study, tmp_path / "run", "--data.spatial_dims", 2))
    words[words.index("--data.presence") + 1] = tmp_path / "presence.csv"
    first = str(cases.loc[0, "case"])
    rows.loc[0, "case"] = f"{first}_slice_40"
    rows.to_csv(tmp_path / "presence.csv", index=False)
    line = refused(capsys, *words)
    assert f"presence.csv: row '{first}_slice_40': case {first!r} has slices 0 to 39; correct or remove it" in line
    assert not (tmp_path / "run").exists()


def test_a_centre_crop_is_in_the_centre() -> None:
    box = Box((10, 20, 3), (20, 60, 9))
    random = np.random.default_rng(0)
    assert draw_window(box, (4, 64), random, "centre") == Box((13, 8), (17, 72))
    starts = {draw_window(box, (4, 64), random).start for _ in range(50)}
    assert {start[0] for start in starts} == set(range(10, 17))
    assert {start[1] for start in starts} == {8}


def test_resampling_keeps_places_in_mm() -> None:
    """A linear ramp in mm stays that ramp on the finer grid, away from the border."""
    affine = np.diag([-2.0, 1.5, 10.0, 1.0])
    affine[:3, 3] = 7, -3, 1
    source = Grid((20, 30, 3), affine)
    target = source.at_spacing((0.8, 1.0, None))
    assert target.shape == (50, 45, 3)

    def ramp(grid: Grid) -> np.ndarray:
        places = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        return (places @ [1.0, -2.0, 0.5]).astype(np.float32)

    inside = (slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(resample(ramp(source), source, target, 1)[inside], ramp(target)[inside], atol=1e-3)


def test_labels_come_back_from_another_grid() -> None:
    source = Grid((60, 50, 2), np.diag([0.9, 0.7, 12.0, 1.0]))
    x, y = np.indices((60, 50))
    disc = ((x - 30) * 0.9) ** 2 + ((y - 25) * 0.7) ** 2 < 12**2
    labels = np.stack([2 * disc, disc], axis=-1).astype(np.uint8)
    target = source.at_spacing((0.75, 0.75, None))
    back = resample_labels(resample(labels, source, target, order=0), target, source)
    assert 2 * ((back > 0) & (labels > 0)).sum() / ((back > 0).sum() + (labels > 0).sum()) > 0.97
    assert set(np.unique(back[..., 0])) == {0, 2}
