"""Classes and code in run folders and configurations."""

import shutil
from pathlib import Path

import pytest
from command_line import answer
from wrong_inputs import (
    foreign_network,
)

from passion.errors import InputError
from passion.trust import check_trusted


def test_a_class_of_ones_own_is_imported_when_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PASSION_TRUST")
    settings = {"name": "early_fusion", "class_path": "own_networks.TwoConvolutions"}
    with pytest.raises(InputError, match="set PASSION_TRUST=own_networks in the environment"):
        check_trusted(settings, Path("config.yaml"))
    monkeypatch.setenv("PASSION_TRUST", "another, own_networks")
    check_trusted(settings, Path("config.yaml"))
    with pytest.raises(InputError, match="PASSION_TRUST=own_networks_of_others"):
        check_trusted({"name": "own_networks_of_others.Network"}, Path("config.yaml"))


def test_networks_of_the_library_need_no_trust_unless_they_fetch_files() -> None:
    for name in ("mmformer", "early_fusion", "passion.networks.rfnet.RFNet"):
        check_trusted({"name": name}, Path("config.yaml"))
    unet = {"name": "early_fusion", "class_path": "monai.networks.nets.UNet", "init_args": {"channels": [4, 8]}}
    check_trusted(unet, Path("config.yaml"))
    for change in (
        {"init_args": {"pretrained_url": "http://somewhere"}},
        {"name": "evil.Network"},
        {"class_path": "monai_networks.Net"},
    ):
        with pytest.raises(InputError, match="if you trust it"):
            check_trusted({**unet, **change}, Path("config.yaml"))


def test_a_resumed_run_imports_no_class_that_is_not_trusted(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, "study/run")
    foreign_network()
    lines, code = answer(["train", "--out", "study/run", "--resume"], capsys)
    assert (code, len(lines)) == (2, 1)
    assert "PASSION_TRUST=trap_module" in lines[0]
    assert not Path("trapped").exists()


def test_a_configuration_builds_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text("network: !!python/object/apply:os.mkdir [trapped]\n")
    lines, code = answer(["train", "--config", "run.yaml", "--out", "run"], capsys)
    assert (code, len(lines)) == (2, 1)
    assert "could not determine a constructor" in lines[0]
    assert not Path("trapped").exists()
