"""Do phantoms resemble BraTS and MyoPS? Prints each figure with its limits, and the time a case takes.

python benchmarks/phantom_acceptance.py brain --cases 60 --size 80 --seed 0
python benchmarks/phantom_acceptance.py heart --cases 25 --seed 0
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import brain_acceptance
import heart_acceptance

from passion.data.phantom import heart
from passion.data.phantom.anatomy import grid_of, load_atlas
from passion.data.phantom.brain import generate_case
from passion.errors import InputError

Case = TypeVar("Case")


def timed(generate: Callable[[int], Case], count: int, seconds: list[float]) -> Iterator[Case]:
    """Cases 0 to `count`, noting how long each takes."""
    for index in range(count):
        start = time.perf_counter()
        case = generate(index)
        seconds.append(time.perf_counter() - start)
        yield case


def main() -> int:
    """Run the command line; 0 if all figures are within their limits, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phantom", choices=("brain", "heart"))
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--size", default="80", help="of the brain: full, or voxels an edge")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.cases < 1:
        parser.error("--cases: at least 1")
    seconds: list[float] = []
    if options.phantom == "brain":
        try:
            grid = grid_of(options.size)
            load_atlas(grid.voxel_mm)
        except InputError as error:
            parser.error(str(error))
        brains = timed(lambda index: generate_case(options.seed, index, grid), options.cases, seconds)
        results = brain_acceptance.findings(brain_acceptance.acceptance(brains))
    else:
        hearts = timed(lambda index: heart.generate_case(options.seed, index), options.cases, seconds)
        results = brain_acceptance.findings(heart_acceptance.acceptance(hearts), heart_acceptance.LIMITS)
    print(f"{options.cases} cases of the {options.phantom} phantom, seed {options.seed}")
    print(f"{'figure':<32}{'value':>8}   {'limits':<17}ok")
    for result in results:
        limits = f"{result.low:.2f} to {result.high:.2f}"
        print(f"{result.name:<32}{result.value:>8.3f}   {limits:<17}{'yes' if result.ok else 'NO'}")
    print(f"{sum(seconds) / len(seconds):.2f} s a case")
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
