"""Preparations that are killed at random moments, alone and in pairs, and stores that are damaged.

`soak` is one part of the long runs; ``python -m tests.soak.preparing`` runs it alone.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ferlit.data.databases import DATABASES
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.data.store.manifest import MANIFEST, verify
from ferlit.data.synthetic import write_ckplus
from ferlit.errors import DataError

ROOT = Path(__file__).parents[2]
# Small parts and slow pictures, so that there is much to interrupt; the workers import it too.
SCRIPT = """
import sys, time
from ferlit.cli import main
from ferlit.data.faces import maker
from ferlit.data.preparation import parts, workers

read_image = maker.read_image
maker.read_image = lambda *arguments: (time.sleep(0.01), read_image(*arguments))[1]

if __name__ == "__main__":
    parts._PART, parts._CHUNK, workers._LEAST_SHARE = 16, 4, 16
    sys.exit(main(sys.argv[1:]))
"""


@dataclass
class Preparing:
    """What came of it; all but the first two should be empty.

    Args:
        kills: Processes that were killed.
        damages: Files that were damaged.
        lost: Stores that could not be finished, or corrections that were gone.
        different: Stores that are not the one of a preparation that nobody killed.
        tracebacks: Processes that ended with one.
        silent: Damage that neither an opening nor ``--verify`` noticed.
    """

    kills: int = 0
    damages: int = 0
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"prepare: {self.kills} kills, {self.damages} damaged files: {len(self.lost)} lost, "
            f"{len(self.different)} different, {len(self.tracebacks)} tracebacks, "
            f"{len(self.silent)} silent"
        )


def soak(kills: int = 20, flips: int = 200, seed: int = 0) -> Preparing:
    """Kill and damage at random.

    Args:
        kills: Processes to kill; half of them are one of two that prepare the same store.
        flips: Bits to flip, each in a fresh copy of a store.
        seed: Fixes the moments (as far as a machine can) and the bits.

    Returns:
        The counts, and what went wrong.
    """
    rng, found = random.Random(seed), Preparing()
    with TemporaryDirectory(prefix="ferlit-soak-") as name:
        place = Path(name)
        (place / "script.py").write_text(SCRIPT)
        write_ckplus(place / "tree", subjects=5, seed=seed, expressions_per_subject=5, frames=4)
        whole = prepare_store(DATABASES["ckplus"], place / "tree", place / "whole", progress=False)
        while found.kills < kills:
            _kill(place, whole, rng, found)
        for _ in range(flips):
            _flip(place, whole, rng, found)
    return found


def _kill(place: Path, whole: Store, rng: random.Random, found: Preparing) -> None:
    """Kill preparations of one store until it is made: a new one, or the renewal of another."""
    output, is_renewal, others = place / "store", rng.random() < 0.4, rng.choice([0, 1])
    table = "image,identity\n" + "".join(f"{name},p\n" for name in whole.records["image"])
    if is_renewal:  # of a damaged store, with corrections
        shutil.copytree(whole.folder, output)
        (output / "identities.csv").write_text(table)
        (output / "records.csv").write_text("damaged")
    for attempt in range(5):
        processes = [_start(place, output) for _ in range(1 + others)]
        victim = rng.choice(processes)
        if rng.random() < 0.8:  # before that it reads, and waits
            _wait_for(output.with_name("store.partial"), processes)
        time.sleep(rng.uniform(0, 3))
        if victim.poll() is None and attempt < 4:
            victim.send_signal(signal.SIGKILL)
            found.kills += 1
        for process in processes:
            errors = process.communicate(timeout=300)[1]
            if "Traceback" in errors:
                found.tracebacks.append(errors)
    what = f"{'renewal' if is_renewal else 'new'}, {1 + others} at once"
    try:
        if Store.open(output, identities=False).content != whole.content:
            found.different.append(what)
        if is_renewal and (output / "identities.csv").read_text() != table:
            found.lost.append(f"{what}: identities.csv")
    except (DataError, OSError) as error:
        found.lost.append(f"{what}: {error}")
    left = [path.name for path in place.iterdir() if "store" in path.name and path != output]
    if any(not name.startswith(".") for name in left):
        found.lost.append(f"{what}: left {left}")
    for path in place.iterdir():
        if "store" in path.name:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _wait_for(folder: Path, processes: list["subprocess.Popen[str]"]) -> None:
    while not folder.exists() and any(process.poll() is None for process in processes):
        time.sleep(0.01)


def _start(place: Path, output: Path) -> "subprocess.Popen[str]":
    options = ["prepare", "--database", "ckplus", "--root", str(place / "tree")]
    options += ["--output", str(output), "--workers", "2", "--resume"]
    return subprocess.Popen(
        [sys.executable, str(place / "script.py"), *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _flip(place: Path, whole: Store, rng: random.Random, found: Preparing) -> None:
    folder = Path(shutil.copytree(whole.folder, place / "copy"))
    path = rng.choice(sorted(folder.iterdir()))
    content = bytearray(path.read_bytes())
    bit = rng.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    found.damages += 1
    what = f"bit {bit} of {path.name}"
    is_refused = False
    for look in (lambda: bool(Store.open(folder)), lambda: not verify(folder)):
        try:
            is_refused |= not look()
        except DataError as error:
            is_refused = True
            if path.name not in str(error) and MANIFEST not in str(error):
                found.silent.append(f"{what}: blamed on another file: {error}")
        except Exception as error:
            found.tracebacks.append(f"{what}: {error!r}")
    if not is_refused:
        found.silent.append(what)
    shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    result = soak(**vars(parser.parse_args()))
    print(result)
    for problem in result.lost + result.different + result.tracebacks + result.silent:
        print(problem)
