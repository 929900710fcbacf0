"""A small study, written once: raw, then prepared."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import RATES, passion, training_words
from wrong_inputs import write_raw

from passion import demo


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """A mistake of ours is not to be made a line of, here; the networks of the tests are trusted; one core computes,
    here and in processes that are started, since sums over several are rounded in another way.
    """
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PASSION_TRACEBACK", "1")
        patch.setenv("PASSION_TRUST", "own_networks")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "raw"
    passion("phantom", "brain", folder, "--cases", 8, "--size", 40, "--seed", 0)
    return folder


@pytest.fixture(scope="session")
def study(raw: Path) -> Path:
    """The folder that holds raw, prepared, split.csv and presence.csv."""
    folder = raw.parent
    passion("split", raw, "--seed", 0, "-o", folder / "split.csv")
    passion("draw-missing", raw, "--split", folder / "split.csv", "--rates", RATES, "-o", folder / "presence.csv")
    passion("prepare", raw, folder / "prepared", "--workers", 0)
    return folder


@pytest.fixture(scope="session")
def trained(study: Path) -> Path:
    """A run, trained and evaluated."""
    passion(*training_words(study, study / "run"))
    passion("evaluate", study / "run", "--device", "cpu")
    return study / "run"


@pytest.fixture(scope="session")
def model(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, exported."""
    out = tmp_path_factory.mktemp("exported") / "model"
    passion("export", trained, "-o", out, "--license", "cc-by-4.0", "--title", "A | first try", "--authors", "Nobody")
    return out


@pytest.fixture(scope="session")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as a MONAI bundle."""
    out = tmp_path_factory.mktemp("bundled") / "bundle"
    passion("export", trained, "-o", out, "--format", "monai")
    return out


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cases of random voxels, raw."""
    folder = tmp_path_factory.mktemp("tiny") / "raw"
    write_raw(folder)
    return folder


@pytest.fixture
def here(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the three cases in `raw`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny, "raw")
    return tmp_path


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the demonstration writes, made as small as it gets for all tests."""
    folder = tmp_path_factory.mktemp("demonstration") / "demo"
    network = {"name": "mmformer", "width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(demo.SCALES, "small", demo.Scale(cases=8, size=32, patch_size=32, epochs=1, network=network))
        passion("demo", "--out", folder)
        yield folder
