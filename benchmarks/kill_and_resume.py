"""Kill training, preparation and evaluation at any moment, continue, and compare with what was never stopped.

    python benchmarks/kill_and_resume.py --kills 20

Trains once without a stop; then trains again and again, with SIGKILL at random moments and at aimed ones (at the
start, inside the writing of a checkpoint, between two files), until as many kills as asked for have fallen. Exit
code 0 only if weights, optimiser, beta, history, TensorBoard's values, the best checkpoint, the prepared study and
the scores are the same, bit for bit.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from passion.files import write_json
from passion.run_folder import epochs_done, is_begun, surroundings

RATES = "t1=0.2,t1c=0.4,flair=0.6,t2=0.8"
CLOCK = "seconds"
"""The one quantity that is a time of the clock."""
NETWORKS = {
    "mmformer": {"name": "mmformer", "width": 4, "token_dim": 16, "token_hidden": 16, "heads": 2},
    "early_fusion": {
        "class_path": "monai.networks.nets.BasicUNet",
        "init_args": {"features": [4, 4, 8, 8, 16, 4], "dropout": 0.2},
    },
}
STARTING_S = 12.0
"""Kills at the start fall within so many seconds of it."""
PATIENCE_S = 3600.0
POLL_S = 0.0005


@dataclass(frozen=True)
class Kill:
    """One kill and where it fell.

    Args:
        command: that was killed.
        aimed: at what.
        fell: where, told from what is on disk.
        epochs: whole ones in the last checkpoint; None: not a training.
        seconds: after the start of the process.
    """

    command: str
    aimed: str
    fell: str
    epochs: int | None
    seconds: float


def start(words: list[object], log: Path) -> "subprocess.Popen[bytes]":
    """A `passion` process in a session of its own, so that its workers can be killed along with it."""
    with log.open("ab") as out:
        command = [sys.executable, "-m", "passion.cli", *map(str, words)]
        return subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)


def finish(words: list[object], log: Path) -> None:
    """Run a command to its end."""
    code = start(words, log).wait(PATIENCE_S)
    if code != 0:
        sys.exit(f"{words[0]} ended with exit code {code}:\n{log.read_text()}")


def kill_when(process: "subprocess.Popen[bytes]", moment: Callable[[], bool], everyone: bool) -> bool:
    """Kill a process when the moment has come; False where it ended before. `everyone`: its workers too."""
    while process.poll() is None:
        if moment():
            if everyone:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
            return process.wait() == -signal.SIGKILL
        time.sleep(POLL_S)
    if process.returncode != 0:
        sys.exit(f"a process ended by itself with exit code {process.returncode}")
    return False


def after(seconds: float) -> Callable[[], bool]:
    """The moment so many seconds from now."""
    then = time.monotonic() + seconds
    return lambda: time.monotonic() >= then


def written(pattern: str, folder: Path) -> Callable[[], bool]:
    """The moment when a new file appears in `folder` or an old one changes."""

    def look() -> dict[str, int]:
        try:
            return {path.name: path.stat().st_mtime_ns for path in folder.glob(pattern)}
        except FileNotFoundError:
            return {}

    before = look()
    return lambda: bool(look().items() - before.items())


def begun_then(out: Path, seconds: float) -> Callable[[], bool]:
    """The moment so many seconds after the first step of an epoch, told from the epoch before."""
    changed, then = written("history.csv", out), [float("inf")]

    def come() -> bool:
        if then[0] == float("inf") and changed():
            then[0] = time.monotonic() + seconds
        return time.monotonic() >= then[0]

    return come


def aims(out: Path, chance: random.Random) -> dict[str, Callable[[], bool]]:
    """Moments of a training to be killed at."""
    checkpoints = out / "checkpoints"
    anywhere = {
        "start-up": after(chance.uniform(0, STARTING_S)),
        "any time": after(chance.uniform(0, 3 * STARTING_S)),
    }
    if not is_begun(out):
        return anywhere | {"inside the folder": written("*.*", out)}
    return anywhere | {
        "inside a checkpoint": written(".partial-*.ckpt", checkpoints),
        "inside last.ckpt": written(".partial-*last.ckpt", checkpoints),
        "after best.ckpt": written("best.ckpt", checkpoints),
        "inside the history": written(".partial-*history.csv", out),
        "after the history": written("history.csv", out),
        "after last.ckpt": written("last.ckpt", checkpoints),
        "inside an epoch": begun_then(out, chance.uniform(0.05, 3)),
    }


def epochs_in_history(out: Path) -> int:
    """Epochs that the history has."""
    path = out / "history.csv"
    return int(path.read_text().splitlines()[-1].split(",")[0]) + 1 if path.exists() else 0


def where_it_fell(out: Path, epochs: int) -> str:
    """What was going on in a run folder of so many epochs, told from what a kill has left of it."""
    partial = sorted(path.name.split("-", 1)[1][8:] for path in out.rglob(".partial-*"))
    if partial:
        return f"writing {', '.join(partial)}"
    if not is_begun(out):
        return "before the run was begun"
    done = epochs_done(out)
    if epochs_in_history(out) > done:
        return f"epoch {done + 1}, between history and last.ckpt"
    return "after the last epoch" if done == epochs else f"start-up, or epoch {done + 1}"


class Comparison:
    """The study, the reference, and trainings that are killed.

    Args:
        folder: of everything.
        network: a key of `NETWORKS`.
        epochs: of a training.
        seed: of study, training and kills.
    """

    def __init__(self, folder: Path, network: str, epochs: int, seed: int) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self.epochs = epochs
        self.seed = seed
        self.chance = random.Random(seed)
        self.kills: list[Kill] = []
        self.configuration = folder / "run.json"
        data = {name: str(folder / name) for name in ("prepared",)}
        data |= {name: str(folder / f"{name}.csv") for name in ("split", "presence")}
        settings = {
            "data": data
            | {"spatial_dims": 2, "patch_size": 32, "batch_size": 2, "samples_per_epoch": 6, "workers": 2},
            "training": {
                "epochs": epochs, "learning_rate": 2e-3, "validate_every": 2, "preference_every": 2,
                "accelerator": "cpu", "seed": seed,
            },
            "network": NETWORKS[network],
            "objective": {"name": "passion"},
        }  # fmt: skip
        write_json(self.configuration, settings)

    def say(self, kill: Kill) -> None:
        """Keep a kill, and print it as a row."""
        self.kills.append(kill)
        epochs = "" if kill.epochs is None else kill.epochs
        print(f"{len(self.kills):>3}  {kill.command:<9} {kill.aimed:<21} {kill.fell:<44} {epochs!s:>6} "
              f"{kill.seconds:>7.1f}", flush=True)  # fmt: skip

    def prepare(self) -> list[str]:
        """Make the study, prepare it without a stop and with one kill; the differences."""
        raw, whole, killed = (self.folder / name for name in ("raw", "prepared", "prepared-killed"))
        finish(["phantom", "brain", raw, "--cases", 8, "--size", 40, "--seed", self.seed], self.log)
        finish(["split", raw, "--seed", self.seed, "-o", self.folder / "split.csv"], self.log)
        drawn = ["draw-missing", raw, "--split", self.folder / "split.csv", "--rates", RATES]
        finish([*drawn, "-o", self.folder / "presence.csv"], self.log)
        finish(["prepare", raw, whole], self.log)
        began = time.monotonic()
        process = start(["prepare", raw, killed], self.log)
        cases = self.folder / ".prepared-killed.partial" / "cases"
        moment = written("[!.]*/case.json", cases)
        if kill_when(process, moment, everyone=True):
            done = len(list(cases.glob("[!.]*/case.json")))
            self.say(Kill("prepare", "inside the cases", f"{done} of 8 cases", None, time.monotonic() - began))
        finish(["prepare", raw, killed], self.log)
        return compare_folders(killed, whole)

    def train(self, name: str) -> Path:
        """Train without a stop and score both checkpoints."""
        out = self.folder / name
        finish(["train", "--config", self.configuration, "--out", out], self.log)
        self.evaluate(out)
        return out

    def evaluate(self, out: Path) -> None:
        """Score both checkpoints."""
        for checkpoint in ("last", "best"):
            finish(["evaluate", out, "--checkpoint", checkpoint, "--device", "cpu"], self.log)

    def train_with_kills(self, out: Path, most: int) -> None:
        """Train to the end, with a kill at one moment after the other until there are so many in all."""
        while len(self.kills) < most:
            moments = aims(out, self.chance)
            aim = self.chance.choice(list(moments))
            began = time.monotonic()
            process = start(self.training(out), self.log)
            if not kill_when(process, moments[aim], everyone=self.chance.random() < 0.5):
                return
            self.say(Kill("train", aim, where_it_fell(out, self.epochs), epochs_done(out), time.monotonic() - began))
        finish(self.training(out), self.log)

    def training(self, out: Path) -> list[object]:
        """The words that begin a run or continue it."""
        return ["train", "--out", out, "--resume", *([] if is_begun(out) else ["--config", self.configuration])]

    def kill_evaluation(self, out: Path) -> None:
        """Kill an evaluation when it has scored its first case."""
        rows = out / "evaluation/test-last/.cases/rows"
        began = time.monotonic()
        process = start(["evaluate", out, "--device", "cpu"], self.log)
        moment = written("[!.]*.json", rows)
        if kill_when(process, moment, everyone=True):
            done = len(list(rows.glob("[!.]*.json")))
            self.say(Kill("evaluate", "after a case", f"{done} cases scored", None, time.monotonic() - began))


def plain(value: Any, run: Path) -> Any:
    """A checkpoint's content without the place of the run folder; tensors as their bytes."""
    if isinstance(value, dict):
        return {plain(key, run): plain(entry, run) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry, run) for entry in value]
    if isinstance(value, torch.Tensor):
        content = value.detach().contiguous().reshape(-1).view(torch.uint8)
        return str(value.dtype), tuple(value.shape), content.numpy().tobytes()
    return value.replace(str(run.resolve()), "RUN") if isinstance(value, str) else value


def compare_values(ours: Any, theirs: Any, name: str) -> list[str]:
    """Names of all that differs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = [f"{name}/{key} is in one alone" for key in ours.keys() ^ theirs.keys()]
        shared = [key for key in theirs if key in ours]
        return found + [line for key in shared for line in compare_values(ours[key], theirs[key], f"{name}/{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [line for index, pair in pairs for line in compare_values(*pair, f"{name}/{index}")]
    return [] if ours == theirs else [name]


def compare_folders(ours: Path, theirs: Path) -> list[str]:
    """Names of the files that differ in a byte or are in one folder alone."""
    mine, other = (
        {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (ours, theirs)
    )
    return compare_values(mine, other, ours.name)


def history(run: Path) -> list[str]:
    """Lines of the history, but for times of the clock."""
    return [line for line in (run / "history.csv").read_text().splitlines() if line.split(",")[1] != CLOCK]


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows, but for times of the clock."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag != CLOCK]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def differences(run: Path, reference: Path) -> list[str]:
    """Names of all in which a run that was killed differs from one that was never stopped."""
    found = []
    for name in ("checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        ours, theirs = (plain(torch.load(top / name, weights_only=True), top) for top in (run, reference))
        found += compare_values(ours, theirs, name)
    for name in ("config.yaml", "study.json", "split.csv", "presence.csv", "versions.json"):
        found += [name] if (run / name).read_bytes() != (reference / name).read_bytes() else []
    found += ["history.csv"] if history(run) != history(reference) else []
    found += ["tensorboard"] if scalars(run) != scalars(reference) else []
    if (reference / "evaluation").exists():
        found += compare_folders(run / "evaluation", reference / "evaluation")
    return found + [f"{path.relative_to(run)} was left" for path in run.rglob(".partial-*")]


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many")
    parser.add_argument("--network", choices=NETWORKS, default="mmformer")
    parser.add_argument("--epochs", type=int, default=5, help="of a training")
    parser.add_argument("--seed", type=int, default=0, help="of study, training and kills")
    parser.add_argument("--out", type=Path, help="JSON file for the record")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    comparison = Comparison(folder, asked.network, asked.epochs, asked.seed)
    print(f"  #  {'command':<9} {'aimed':<21} {'fell':<44} epochs seconds", flush=True)
    results = {"prepared study": comparison.prepare()}
    reference = comparison.train("reference")
    while len(comparison.kills) < asked.kills:
        out = folder / f"killed-{len(results)}"
        comparison.train_with_kills(out, most=asked.kills - 1)
        comparison.kill_evaluation(out)
        comparison.evaluate(out)
        results[out.name] = differences(out, reference)
    for name, found in results.items():
        print(f"{name}: {'identical' if not found else 'differs in ' + ', '.join(found)}")
    if asked.out:
        options = {name: value for name, value in vars(asked).items() if name != "out"}
        rows = [asdict(kill) for kill in comparison.kills]
        write_json(asked.out, {**options, **surroundings(), "rows": rows, "differences": results})
    shutil.rmtree(folder)
    return int(any(results.values()))


if __name__ == "__main__":
    sys.exit(main())
