"""How fast this is, beside what the machine could do and, if asked, beside another implementation.

    python benchmarks/speed.py NAME [--rows ROW ...] [--beside COMMAND] [--out FOLDER]

Each row runs in a process of its own (`workloads.py`). With `--beside`, `COMMAND ROW` is started too and asked the same
way: for every line on its standard input it does the work once and prints seconds (GB for the rows of memory). The two
are asked in turn, after both have warmed up. Writes `speed-NAME.json` after each row; rows of the same machine that are
not asked for stay, each with the revision that it was measured at.
"""

import argparse
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Self

import torch
from rich.console import Console
from rich.table import Table
from workloads import COUNTERPARTS, WORKLOADS

from passion.files import write_json
from passion.runs import versions

HERE = Path(__file__).parent
ONCE = ("memory", "case")
"""How rows of a single round begin: a peak does not scatter, and a case takes minutes."""

WARM_UP = 2


class Worker:
    """A process that measures when it is asked to."""

    def __init__(self, command: list[str], threads: int) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )

    def ask(self, request: str) -> float:
        """Its answer.

        Raises:
            RuntimeError: it has ended.
        """
        assert self.process.stdin
        assert self.process.stdout
        print(request, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{shlex.join(map(str, self.process.args))}: ended with {self.process.wait()}")
        return float(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


def counterpart(row: str, beside: str | None, own: list[str]) -> list[str] | None:
    """The command that a row is compared with; None: with nothing."""
    if row in COUNTERPARTS:
        return [*own, "--counterpart"]
    return [*shlex.split(beside), row] if beside else None


def measure(row: str, asked: argparse.Namespace) -> dict[str, object]:
    """Ours and theirs in turn; the ratio is of the best, beside the median of the rounds' ratios."""
    own = [sys.executable, str(HERE / "workloads.py"), row]
    own += ["--device", asked.device, "--threads", str(asked.threads)]
    rounds, warm_up = (1, 0) if row.startswith(ONCE) else (asked.rounds, WARM_UP)
    theirs: list[float] = []
    with Worker(own, asked.threads) as our_worker:
        other = counterpart(row, asked.beside, own)
        their_worker = Worker(other, asked.threads) if other else None
        for worker in filter(None, (our_worker, their_worker)):
            for _ in range(warm_up):
                worker.ask("measure")
        ours = []
        for _ in range(rounds):
            ours.append(our_worker.ask("measure"))
            if their_worker:
                theirs.append(their_worker.ask("measure"))
        if their_worker:
            their_worker.__exit__()
        peak, limit = our_worker.ask("peak"), our_worker.ask("limit")
    return {
        "row": row,
        "ours": round(min(ours), 4),
        "published": round(min(theirs), 4) if theirs else None,
        "ratio": round(min(theirs) / min(ours), 3) if theirs else None,
        "median_ratio": round(statistics.median(b / a for a, b in zip(ours, theirs, strict=True)), 3)
        if theirs
        else None,
        "of_limit": None if math.isnan(limit) else round(limit / min(ours), 3),
        "peak_gb": round(peak, 2),
        "unit": "GB" if row.startswith("memory") else "s",
    }


def describe(asked: argparse.Namespace) -> dict[str, object]:
    """The machine and what runs on it."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    device = torch.cuda.get_device_name(asked.device) if asked.device.startswith("cuda") else processor
    software = {name: version for name, version in versions().items() if name != "git_revision"}
    return {"device": device, "processor": processor, "threads": asked.threads, "versions": software}


def show(rows: list[dict[str, object]]) -> None:
    """A table of the rows."""
    table = Table("row", "ours", "published", "ratio", "median", "of the limit", "peak [GB]")
    for row in rows:
        values = [row[key] for key in ("ours", "published", "ratio", "median_ratio", "of_limit", "peak_gb")]
        table.add_row(str(row["row"]), *("" if value is None else f"{value:.3g}" for value in values))
    Console().print(table)


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the record, such as the machine's")
    parser.add_argument("--rows", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="ROW")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--beside", metavar="COMMAND", help="another implementation, asked the same way")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    asked = parser.parse_args()
    path = asked.out / f"speed-{asked.name}.json"
    about = describe(asked)
    done: dict[str, dict[str, object]] = {}
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["machine"] == about:
            done = {row["row"]: row for row in before["rows"]}
    for row in asked.rows:
        done[row] = {**measure(row, asked), "revision": versions()["git_revision"], "rounds": asked.rounds}
        rows = [done[name] for name in WORKLOADS if name in done]
        write_json(path, {"date": date.today().isoformat(), "machine": about, "rows": rows})
        show([done[row]])
    show([done[name] for name in WORKLOADS if name in done])


if __name__ == "__main__":
    main()
