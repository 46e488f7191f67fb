"""``python -m tests.fuzz --programs 2000``: random programs with PyTorch, eager and compiled."""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tqdm import tqdm

from tests.fuzz.running import tried


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.programs)
    failures = 0
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        found = pool.map(tried, seeds, chunksize=4)
        for seed, wrong in tqdm(found, total=len(seeds), disable=None):
            if wrong:
                failures += 1
                tqdm.write(f"\nprogram {seed}: {wrong}", file=sys.stdout)
    print(f"{len(seeds)} programs, {failures} with a difference")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
