"""Stops commands at random moments, damages files, and sees that nothing is lost or silent.

    python -m tests.soak                                   # all of it: hours
    python -m tests.soak --kills 1 --inputs 60             # a quarter of an hour
    python -m tests.soak --only recognise,damage --inputs 500

- ``fit``, ``stages``, ``crossval`` and ``recognise`` are run once undisturbed. Then runs of each
  are stopped, once or several times, by SIGKILL or SIGTERM at random moments, and started again
  until they come to their end. What they give must be what the undisturbed run gave, bit for bit;
  what a stopped recognition has written must be whole rows.
- ``prepare`` is killed alone and in pairs, and bits of its stores are flipped
  (`tests.soak.preparing`).
- ``damage`` damages every kind of file that a command reads (`tests.soak.damaging`).

The last line sums up; the exit code is 1 where something was lost, different, raw or silent.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ferlit.data.databases import find_database
from ferlit.data.preparation import prepare_store
from ferlit.data.synthetic import write_ckplus
from tests.soak import damaging, fits, preparing, recognising
from tests.soak.kills import Tally, soak

PREPARE, DAMAGE = "prepare", "damage"
FLIPS = 4  # bits that are flipped in stores for each killed preparation


def main() -> int:
    """Run it; the exit code is 1 where something was lost, different, raw or silent."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--inputs", type=int, default=2000, help="that are damaged")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and signals")
    parser.add_argument("--only", default="", metavar="NAMES", help="such as fit,damage")
    parser.add_argument("--folder", type=Path, help="for the runs; those that went wrong stay")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="soak_"))
    folder.mkdir(parents=True, exist_ok=True)
    tree, store = folder / "tree", folder / "store"
    if not store.exists():
        write_ckplus(tree, subjects=8, seed=0, expressions_per_subject=6, frames=4)
        prepare_store(find_database("ckplus"), tree, store, progress=False)
    scenarios = [*fits.scenarios(store, folder), recognising.scenario(folder)]
    names = [name for name in given.only.split(",") if name]
    known = [PREPARE, *(scenario.name for scenario in scenarios), DAMAGE]
    if set(names) - set(known):
        parser.error(f"--only {given.only}: known are {', '.join(known)}")
    names = names or known
    prepared = preparing.Preparing()
    if PREPARE in names:
        prepared = preparing.soak(given.kills, FLIPS * given.kills, given.seed)
        _tell(str(prepared))
    tallies: list[Tally] = []
    for scenario in scenarios:
        if scenario.name in names:
            work = folder / f"{scenario.name}_{given.seed}"
            work.mkdir()
            tallies.append(soak(scenario, work, given.kills, given.seed, _tell))
    damages = damaging.damage(given.inputs, given.seed) if DAMAGE in names else Counter[str]()
    print(f"\nin {folder}:")
    for tally in [*tallies, *([prepared] if PREPARE in names else [])]:
        print(tally)
        for problem in (*tally.lost, *tally.different, *tally.tracebacks):
            print(f"  {problem}")
    for problem in prepared.silent:
        print(f"  {problem}")
    all_of_them = [*tallies, prepared]
    kills = sum(tally.kills.total() for tally in tallies) + prepared.kills
    faults = {
        "lost": sum(len(tally.lost) for tally in all_of_them),
        "different numbers": sum(len(tally.different) for tally in all_of_them),
        "raw tracebacks": sum(len(tally.tracebacks) for tally in all_of_them)
        + damages["raw tracebacks"],
        "silent uses of damaged files": len(prepared.silent) + damages["silent"],
        "refused without the file's name": damages["unnamed"],
        "too slow": damages["too slow"],
    }
    print(
        f"{kills} kills, {damages.total() + prepared.damages} damaged inputs: "
        + ", ".join(f"{count} {name}" for name, count in faults.items())
    )
    return int(any(faults.values()))


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
