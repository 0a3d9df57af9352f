"""Stops commands at random moments and sees that nothing is lost: ``python -m tests.soak``.

Each is run once undisturbed. Then runs of it are stopped, once or several times, by SIGKILL or
SIGTERM at random moments, and started again until they come to their end. What they give must be
what the undisturbed run gave, bit for bit. Hours, with the default of 50 kills each.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from ferlit.data.databases import find_database
from ferlit.data.preparation import prepare_store
from ferlit.data.synthetic import write_ckplus
from tests.soak import fits
from tests.soak.kills import Tally, soak


def main() -> int:
    """Run it; the exit code is 1 where something was lost, different or raw."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and signals")
    parser.add_argument("--only", default="", metavar="NAMES", help="such as fit,stages")
    parser.add_argument("--folder", type=Path, help="for the runs; those that went wrong stay")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="soak_"))
    folder.mkdir(parents=True, exist_ok=True)
    tree, store = folder / "tree", folder / "store"
    if not store.exists():
        write_ckplus(tree, subjects=8, seed=0, expressions_per_subject=6, frames=4)
        prepare_store(find_database("ckplus"), tree, store, progress=False)
    scenarios = fits.scenarios(store, folder)
    names = [name for name in given.only.split(",") if name]
    unknown = set(names) - {scenario.name for scenario in scenarios}
    if unknown:
        parser.error(f"--only {given.only}: known are {', '.join(x.name for x in scenarios)}")
    tallies: list[Tally] = []
    for scenario in scenarios:
        if not names or scenario.name in names:
            work = folder / f"{scenario.name}_{given.seed}"
            work.mkdir()
            tallies.append(soak(scenario, work, given.kills, given.seed, _tell))
    print(f"\nin {folder}:")
    for tally in tallies:
        print(tally)
        for problem in (*tally.lost, *tally.different, *tally.tracebacks):
            print(f"  {problem}")
    counts = [sum(len(getattr(t, kind)) for t in tallies) for kind in ("lost", "different")]
    raw = sum(len(tally.tracebacks) for tally in tallies)
    print(
        f"{sum(tally.kills.total() for tally in tallies)} kills: {counts[0]} lost, "
        f"{counts[1]} different numbers, {raw} raw tracebacks"
    )
    return 0 if all(tally.is_clean for tally in tallies) else 1


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
