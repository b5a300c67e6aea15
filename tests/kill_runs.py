"""Kill training runs at random moments (SIGKILL), resume them, and compare them with uninterrupted runs.

    PYTHONPATH=src:examples:tests python tests/kill_runs.py --kills 20

Every recipe is killed that many times. The script stops at the first bit that differs in weights or optimiser state.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from dfer.training.recipes import RECIPES
from helpers.killing import arguments, kill_and_compare
from helpers.tiny_runs import write_coloured_lists


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="kills per recipe (default: 20)")
    parser.add_argument("--recipe", choices=RECIPES, nargs="+", default=list(RECIPES), help="recipes (default: all)")
    parser.add_argument("--model", choices=("tiny", "agdtnet"), default="tiny", help="model to train (default: tiny)")
    parser.add_argument("--epochs", type=int, default=6, help="epochs per run (default: 6)")
    parser.add_argument("--workers", type=int, default=0, help="processes that load clips (default: 0)")
    parser.add_argument("--seed", type=int, default=None, help="seed of the moments (default: random, and printed)")
    args = parser.parse_args()
    seed = random.randrange(10**6) if args.seed is None else args.seed
    print(f"seed {seed}")
    for recipe in args.recipe:
        with tempfile.TemporaryDirectory() as name:
            clips = write_coloured_lists(Path(name) / "clips")
            flags = arguments(clips, recipe, model=args.model, epochs=args.epochs, workers=args.workers)
            began = time.monotonic()
            moments = kill_and_compare(flags, Path(name), kills=args.kills, draw=random.Random(f"{seed} {recipe}"))
            shown = " ".join(f"{moment:.2f}" for moment in moments)
            print(f"{recipe}: {len(moments)} kills, all bit-equal, {time.monotonic() - began:.0f} s; at {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
