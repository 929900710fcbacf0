"""Do brain phantoms resemble BraTS? Prints each figure with its limits, and the time a case takes.

python benchmarks/phantom_acceptance.py --cases 60 --size 80 --seed 0
"""

import argparse
import sys
import time
from collections.abc import Iterator

from passion.data.phantom.acceptance import acceptance, findings
from passion.data.phantom.anatomy import grid_of, load_atlas
from passion.data.phantom.brain import BrainCase, generate_case
from passion.errors import InputError


def main() -> int:
    """Run the command line; 0 if all figures are within their limits, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--size", default="80", help="full, or voxels an edge")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.cases < 1:
        parser.error("--cases: at least 1")
    try:
        grid = grid_of(options.size)
        load_atlas(grid.voxel_mm)
    except InputError as error:
        parser.error(str(error))
    seconds: list[float] = []

    def timed_cases() -> Iterator[BrainCase]:
        for index in range(options.cases):
            start = time.perf_counter()
            case = generate_case(options.seed, index, grid)
            seconds.append(time.perf_counter() - start)
            yield case

    results = findings(acceptance(timed_cases()))
    print(f"{options.cases} cases of {' x '.join(map(str, grid.shape))} voxels, seed {options.seed}")
    print(f"{'figure':<22}{'value':>8}   {'limits':<15}ok")
    for result in results:
        limits = f"{result.low:.2f} to {result.high:.2f}"
        print(f"{result.name:<22}{result.value:>8.3f}   {limits:<15}{'yes' if result.ok else 'NO'}")
    print(f"{sum(seconds) / len(seconds):.2f} s a case")
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
