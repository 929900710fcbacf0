"""Many damaged and hostile inputs: each is answered or refused, within a limit of time and memory.

    python benchmarks/fuzz.py --inputs 10000 --seed 0

The inputs are those of tests/hostile.py. A worker process reads them under a limit of its address space; where it is
killed or does not answer in time, another goes on with the next input. The exit code is 1 when an input was neither
answered nor refused, and `results/fuzz.json` says which.
"""

import argparse
import io
import json
import multiprocessing
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

HERE = Path(__file__).parent
FINE = ("answered", "refused")


def work(results: Connection, examples: Path, folder: Path, seed: int, start: int, stop: int, gigabytes: float) -> None:
    """Read inputs `start` to `stop` and tell of each that it begins, and what came of it."""
    import hostile

    warnings.simplefilter("error", RuntimeWarning)
    sys.stderr = io.StringIO()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name in ("run", "prepared"):  # what is imported at the first use does not count
        hostile.KINDS[name].read(examples / name)
    for index in range(start, stop):
        name, random = hostile.draw(seed, index)
        results.send(("begins", index, name))
        try:
            outcome, where = hostile.outcome_of(name, random, examples, folder), ""
        except Exception as error:
            outcome, where = type(error).__name__, "".join(traceback.format_exception(error)[-4:])
        results.send(("ends", outcome, where))
    results.send(("done", "", ""))


def outcomes(asked: argparse.Namespace, scratch: Path) -> Iterator[tuple[int, str, str, str, float]]:
    """Index, kind, outcome, traceback and seconds of each input."""
    import hostile

    examples = hostile.write_examples(scratch / "examples")
    context = multiprocessing.get_context("spawn")
    index = -1
    while index + 1 < asked.inputs:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=work,
            args=(theirs, examples, scratch / "work", asked.seed, index + 1, asked.inputs, asked.gigabytes),
        )
        process.start()
        theirs.close()
        limit, name, began = 300.0, "start", time.monotonic()
        while True:
            try:
                event, first, second = ours.recv() if ours.poll(limit) else ("late", "", "")
            except EOFError:
                event, first, second = "killed", "", ""
            if event == "begins":
                index, name, began, limit = first, second, time.monotonic(), asked.seconds
            elif event == "ends":
                yield index, name, first, second, time.monotonic() - began
            else:
                break
        process.kill()
        process.join()
        if event == "done":
            return
        if name == "start":
            raise SystemExit("the worker does not start")
        yield index, name, event, "", time.monotonic() - began


def main() -> int:
    """Read all inputs and write what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60, help="for one input")
    parser.add_argument("--gigabytes", type=float, default=1, help="of addresses beside those of the libraries")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "fuzz.json")
    asked = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    failures, slowest, began = [], (0.0, -1, ""), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for index, name, outcome, where, seconds in outcomes(asked, Path(scratch)):
            counts.setdefault(name, Counter())[outcome] += 1
            slowest = max(slowest, (round(seconds, 1), index, name))
            if outcome not in FINE:
                failures.append({"index": index, "kind": name, "outcome": outcome, "traceback": where})
                print(f"{index} {name}: {outcome}\n{where}")
    content = {
        "inputs": asked.inputs,
        "seed": asked.seed,
        "limit_of_one_s": asked.seconds,
        "addresses_beside_the_libraries_gib": asked.gigabytes,
        "seconds": round(time.monotonic() - began),
        "slowest": dict(zip(("seconds", "index", "kind"), slowest, strict=True)),
        "counts": {name: dict(sorted(counts[name].items())) for name in sorted(counts)},
        "failures": failures,
    }
    asked.out.write_text(json.dumps(content, indent=2) + "\n")
    print(f"{asked.inputs} inputs, {len(failures)} failures: {asked.out}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
