"""Files and folders are whole at every moment at which a process can be killed."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import refused

from passion.errors import InputError
from passion.files import alone_in, replacing, replacing_folder, sweep, withdraw_folder

CALLS = [(os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "chmod"), (Path, "unlink"), (shutil, "rmtree")]
"""Between any two of these a process is killed."""


def killed_at(number: int, action: Callable[[], None]) -> bool:
    """Whether a forked process was killed before the number-th call on its way through `action`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = [number]

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def counting(*given: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return counting

    for owner, name in CALLS:
        setattr(owner, name, counted(getattr(owner, name)))
    action()
    os._exit(0)


def write_file(path: Path, text: str) -> None:
    with replacing(path) as beside:
        beside.write_text(text)


def write_folder(path: Path, text: str) -> None:
    with replacing_folder(path) as beside:
        (beside / "one").write_text(text)
        (beside / "two").write_text(text)


def read_folder(path: Path) -> set[str]:
    return {(path / name).read_text() for name in ("one", "two")}


def test_a_file_is_the_old_or_the_new_one_at_every_moment(tmp_path: Path) -> None:
    path, moments = tmp_path / "a.txt", 0
    write_file(path, "old")
    while killed_at(moments + 1, lambda: write_file(path, "new")):
        moments += 1
        assert path.read_text() in ("old", "new")
        write_file(path, "old")
        assert os.listdir(tmp_path) == ["a.txt"]
    assert moments >= 4


def test_a_folder_is_the_old_or_the_new_one_at_every_moment(tmp_path: Path) -> None:
    """In the moment between two renames it is beside its place, and the next to write there finds it."""
    path, moments, absent = tmp_path / "a", 0, 0
    write_folder(path, "old")
    while killed_at(moments + 1, lambda: write_folder(path, "new")):
        moments += 1
        if not path.exists():
            absent += 1
            with pytest.raises(ZeroDivisionError), replacing_folder(path):
                1 / 0  # noqa: B018
            assert read_folder(path) == {"old"}
        assert read_folder(path) in ({"old"}, {"new"})
        write_folder(path, "old")
        assert os.listdir(tmp_path) == ["a"]
    assert moments >= 8
    assert absent == 1


def test_a_folder_that_is_withdrawn_is_gone_where_its_link_leads_too(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/image.js").write_text("a patient")
    (tmp_path / "here").symlink_to(tmp_path / "there")
    withdraw_folder(tmp_path / "here")
    assert list(tmp_path.iterdir()) == []
    withdraw_folder(tmp_path / "nothing")


def test_what_a_living_process_writes_is_not_swept(tmp_path: Path) -> None:
    script = (
        "import sys, time; from passion.files import *\n"
        "with replacing(sys.argv[1]) as a, replacing_folder(sys.argv[2]) as b: print(flush=True); time.sleep(99)"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a.txt"), str(tmp_path / "b")], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    assert len(os.listdir(tmp_path)) == 2
    sweep(tmp_path)
    write_file(tmp_path / "a.txt", "mine")
    assert len(os.listdir(tmp_path)) == 3
    writer.kill()
    writer.wait()
    sweep(tmp_path, "a.txt")
    assert len(os.listdir(tmp_path)) == 2
    sweep(tmp_path)
    assert os.listdir(tmp_path) == ["a.txt"]


def test_one_process_at_a_time_and_a_dead_one_keeps_nobody_out(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from passion.files import alone_in\n"
        "with alone_in(Path(sys.argv[1]), 'no'): print(flush=True); time.sleep(99)"
    )
    other = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(InputError, match="busy"), alone_in(tmp_path, "busy"):
        pass
    other.kill()
    other.wait()
    with alone_in(tmp_path, "busy"):
        pass


def test_a_device_or_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("/dev/null")
    for place in (pipe, tmp_path / "link"):
        with pytest.raises(InputError, match=f"{place}: is a device or a pipe"), replacing(place):
            pass
    assert pipe.is_fifo()


@pytest.mark.parametrize("named", [".", "../here"])
def test_the_folder_one_is_in_is_not_pulled_away(named: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    refused = pytest.raises(InputError, match=r"is the folder that this command runs in; name a new one")
    with refused, replacing_folder(Path(named)):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]


def test_where_a_file_may_not_grow_further_is_said(raw: Path, tmp_path: Path) -> None:
    words = ("prepare", raw, tmp_path / "prepared", "--workers", 0)
    command = ["sh", "-c", 'ulimit -f 64; exec "$@"', "sh", sys.executable, "-m", "passion.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("passion: ")]
    assert ": file too large; see to it" in line


def test_where_probabilities_find_no_room_is_said(
    trained: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    image = next(raw.glob("*/*_t1.nii.gz"))
    soft = tmp_path / "soft.nii.gz"
    words = ("predict", trained, "--t1", image, "-o", tmp_path / "out.nii.gz", "--probabilities", soft)
    assert f"{soft}: no space left on device" in refused(capsys, *words, "--device", "cpu")
