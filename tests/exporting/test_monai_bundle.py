"""MONAI itself loads the bundle, finds it complete, runs it, and answers as `passion predict` does."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import nibabel
import numpy as np
import pytest
import torch
from command_line import passion, refused
from monai.bundle import ConfigParser, ConfigWorkflow, run, verify_net_in_out
from monai.inferers import SlidingWindowInferer, sliding_window_inference
from untrained import untrained_run

from passion import predict
from passion.bundle import SubsetNetwork, cases_in
from passion.data.sources.myops import MYOPS2020
from passion.data.study import Region, Study
from passion.errors import InputError
from passion.inference import infer
from passion.networks import network_class

CASE = "BraTS20_Training_002"
SUBSETS = {"all": ("t1", "t1c", "flair", "t2"), "two": ("t1c", "flair"), "one": ("t2",)}
SUFFIXES = {"t1": "t1", "t1c": "t1ce", "flair": "flair", "t2": "t2"}

WORDS = {"type": "string"}
DESCRIBED = (
    "schema", "version", "task", "description", "authors", "copyright", "data_source", "data_type", "image_classes",
    "pred_classes", "intended_use",
)  # fmt: skip
TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
    "properties": {
        "num_channels": {"type": "integer"}, "spatial_shape": {"type": "array"}, "dtype": {"type": "string"},
        "value_range": {"type": "array", "items": {"type": "number"}}, "channel_def": {"type": "object"},
    },
}  # fmt: skip
TENSORS = {"type": "object", "additionalProperties": TENSOR}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": [
        "schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version", "task",
        "description", "authors", "copyright", "network_data_format",
    ],
    "properties": {
        **dict.fromkeys(DESCRIBED, WORDS),
        **{key: {"type": "object"} for key in ("changelog", "required_packages_version", "eval_metrics")},
        "references": {"type": "array", "items": WORDS},
        "network_data_format": {
            "type": "object", "required": ["inputs", "outputs"],
            "properties": dict.fromkeys(("inputs", "outputs", "post_processed_outputs"), TENSORS),
        },
    },
}  # fmt: skip
"""What MONAI's own schema of 2024-07-25 asks for, which is to be had on the network only."""


def run_bundle(bundle: Path, **options: object) -> None:
    configs = bundle / "configs"
    run(config_file=str(configs / "inference.json"), meta_file=str(configs / "metadata.json"), bundle_root=str(bundle),
        device="$torch.device('cpu')", **options)  # fmt: skip


def labels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


@pytest.fixture(scope="module")
def cases(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a subset of the modalities of one case."""
    folder = tmp_path_factory.mktemp("cases")
    for name, modalities in SUBSETS.items():
        (folder / name).mkdir()
        for modality in modalities:
            shutil.copy(raw / CASE / f"{CASE}_{SUFFIXES[modality]}.nii.gz", folder / name / f"{modality}.nii.gz")
    return folder


def test_monais_answer_is_that_of_predict_voxel_for_voxel(
    bundle: Path, trained: Path, cases: Path, tmp_path: Path
) -> None:
    run_bundle(bundle, dataset_dir=str(cases), output_dir=str(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{name}_seg.nii.gz" for name in SUBSETS}
    for name, modalities in SUBSETS.items():
        files = {modality: cases / name / f"{modality}.nii.gz" for modality in modalities}
        found = nibabel.load(tmp_path / "out" / f"{name}_seg.nii.gz")
        np.testing.assert_array_equal(np.asarray(found.dataobj), predict(trained, files, device="cpu").labels)
        np.testing.assert_array_equal(found.affine, nibabel.load(files[modalities[0]]).affine)


def test_files_can_be_listed(bundle: Path, trained: Path, cases: Path, tmp_path: Path) -> None:
    file = str(cases / "one" / "t2.nii.gz")
    run_bundle(bundle, datalist=[{"case": "named", "t2": file}], output_dir=str(tmp_path))
    np.testing.assert_array_equal(
        labels(tmp_path / "named_seg.nii.gz"), predict(trained, {"t2": file}, device="cpu").labels
    )


def heart(folder: Path) -> Path:
    """Two modalities of a heart, on grids that are not the study's, stored as integers with a factor."""
    random = np.random.default_rng(0)
    (folder / "heart").mkdir(parents=True)
    for modality in ("lge", "t2"):
        voxels = np.zeros((50, 61, 3), dtype=np.int16)
        voxels[6:44, 9:55] = random.integers(1, 900, (38, 46, 3))
        affine = np.diag([-1.3, -1.1, 9.0 + (modality == "t2"), 1.0])
        image = nibabel.Nifti1Image(voxels, affine)
        image.header.set_slope_inter(0.0371, 0)
        nibabel.save(image, folder / "heart" / f"x_{modality}.nii.gz")
    return folder


@pytest.mark.parametrize("crop", ["centre", "random"])
def test_slices_brought_to_a_grid_too(crop: str, tmp_path: Path) -> None:
    hearts = replace(MYOPS2020, spatial_dims=2, spacing_mm=(1.0, 1.0, None), resample=("t2", "lge"), orientation="RAS")
    source = untrained_run(tmp_path / "run", hearts, {"name": "rfnet", "width": 4}, crop=crop)
    passion("export", source, "-o", tmp_path / "bundle", "--format", "monai")
    folder = heart(tmp_path / "cases")
    run_bundle(tmp_path / "bundle", dataset_dir=str(folder), output_dir=str(tmp_path / "out"))
    files = {modality: folder / "heart" / f"x_{modality}.nii.gz" for modality in ("lge", "t2")}
    expected = predict(source, files, device="cpu").labels
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(labels(tmp_path / "out/heart_seg.nii.gz"), expected)


def test_monai_finds_the_bundle_complete(bundle: Path, cases: Path) -> None:
    configs = bundle / "configs"
    files = {"config_file": str(configs / "inference.json"), "meta_file": str(configs / "metadata.json")}
    workflow = ConfigWorkflow(workflow_type="infer", bundle_root=str(bundle), dataset_dir=str(cases), **files)
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.channel_def == {"0": "background", "1": "NCR/NET", "2": "ED", "3": "ET"}
    verify_net_in_out(net_id="network_def", device="cpu", **files)


def test_metadata_fit_the_schema(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    jsonschema.validate(metadata, SCHEMA)
    assert metadata["required_packages_version"]["passion"]
    assert "phantoms" in metadata["data_source"]
    assert 0 <= metadata["eval_metrics"]["test Dice WT"] <= 1
    assert "monai.bundle run" in (bundle / "docs/README.md").read_text()


def test_absent_is_not_what_is_zero_in_a_window() -> None:
    """A window of a present modality may be all zero: `present` says that it is there, and the answer differs."""
    torch.manual_seed(0)
    options = {"name": "mmformer", "modalities": 3, "classes": 2, "spatial_dims": 2, "width": 4, "patch_size": 32,
               "token_dim": 16, "token_hidden": 16, "heads": 2}  # fmt: skip
    wrapped = SubsetNetwork(**options).eval()
    images = torch.randn(1, 3, 32, 32)
    images[:, 1] = 0
    there, gone = torch.tensor([[True, True, True]]), torch.tensor([[True, False, True]])
    with torch.inference_mode():
        network = wrapped.segmenter
        answers = {
            mask: network.decode(network.encode(images, mask), torch.tensor([0]), mask).logits for mask in (there, gone)
        }
        assert torch.equal(wrapped(images, there), answers[there])
        assert torch.equal(wrapped(images), answers[gone])
        assert not torch.allclose(answers[there], answers[gone])


def test_monais_own_windows_carry_present_along() -> None:
    torch.manual_seed(0)
    wrapped = SubsetNetwork(name="rfnet", modalities=2, classes=3, spatial_dims=3, width=4, patch_size=16).eval()
    images, present = torch.randn(1, 2, 20, 16, 24), torch.tensor([[True, False]])
    images[:, :, :16, :, :16] = 0
    windows = SlidingWindowInferer(roi_size=(16, 16, 16), sw_batch_size=1, overlap=0.5)
    with torch.inference_mode():
        found = windows(images, lambda some, mask: torch.softmax(wrapped(some, mask), 1), present)
        expected = infer(wrapped.segmenter, images, present, present)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["mmformer", "rfnet", "m2ftrans"])
def test_windows_without_an_image_are_seen_through_all_modalities(name: str) -> None:
    torch.manual_seed(0)
    options = {**network_class(name).TINY, "modalities": 2, "classes": 3, "spatial_dims": 2, "patch_size": 32}
    wrapped = SubsetNetwork(name=name, **options).eval()
    images, everything = torch.randn(1, 2, 64, 64), torch.tensor([[True, True]])
    images[..., :32, :32] = 0
    with torch.inference_mode():
        found = sliding_window_inference(images, 32, 4, wrapped, overlap=0)
        expected = sliding_window_inference(images, 32, 4, lambda some: wrapped(some, everything), overlap=0)
    assert torch.equal(found, expected)
    assert torch.isfinite(found).all()


def test_names_that_monai_would_take_for_code_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study("$print('run')", ("t1",), {"background": 0, "lesion": 1}, {"all": Region(("lesion",))})
    source = untrained_run(tmp_path / "run", study, {"name": "rfnet", "width": 4})
    line = refused(capsys, "export", source, "-o", tmp_path / "bundle", "--format", "monai")
    assert "would be read as code" in line
    assert not (tmp_path / "bundle").exists()
    passion("export", source, "-o", tmp_path / "model")


def test_the_network_is_filled_with_the_runs_weights(bundle: Path, trained: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs/inference.json"))
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(bundle / "models/model.pt", weights_only=True))
    checkpoint = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    for name, value in network.segmenter.state_dict().items():
        assert torch.equal(value, checkpoint[f"network.{name}"])


def test_folders_of_cases_are_checked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder with a file such as t1\.nii\.gz"):
        cases_in(str(tmp_path), ["t1"])
    (tmp_path / "a").mkdir()
    (tmp_path / "a/t1.nii.gz").touch()
    (tmp_path / "a/b_t1c.nii").touch()
    assert cases_in(str(tmp_path), ["t1", "t1c", "t2"]) == [
        {"case": "a", "t1": str(tmp_path / "a/t1.nii.gz"), "t1c": str(tmp_path / "a/b_t1c.nii")}
    ]
    (tmp_path / "a/x_t1.nii").touch()
    with pytest.raises(InputError, match=r"two files of t1, t1\.nii\.gz and x_t1\.nii"):
        cases_in(str(tmp_path), ["t1"])
