"""Damage every kind of file that a command reads, and see that it is refused by its name.

    python -m tests.soak.damaging --inputs 2000

Each input is one file with one damage, read by the function or command that reads it. It must be
refused by an error that names it, or give the answer that it gave before. A file without a
checksum of its own, such as a picture or a table that people write, may also give another answer:
nothing tells that it is not meant. The last line of the output counts; the exit code is 1 where a
raw error, a silent use or a message without the file's name is among them.
"""

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("FERLIT_TRUST", "tests")

from ferlit.errors import FerlitError
from tests.soak.instances import Reader, build

_SECONDS = 60  # for one input
Damage = Callable[[bytes, np.random.Generator], bytes]


def flip_bit(content: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    damaged[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(len(content)))]


def zero_block(content: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 600))
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def repeat(content: bytes, rng: np.random.Generator) -> bytes:
    """A line once more; of a file without lines, a block."""
    lines = content.splitlines(keepends=True)
    place = int(rng.integers(len(lines)))
    return b"".join([*lines[: place + 1], *lines[place:]])


def drop(content: bytes, rng: np.random.Generator) -> bytes:
    """A line less."""
    lines = content.splitlines(keepends=True)
    del lines[int(rng.integers(len(lines)))]
    return b"".join(lines)


def garble(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes of something else in the middle."""
    place = int(rng.integers(len(content)))
    return content[:place] + rng.bytes(int(rng.integers(1, 40))) + content[place:]


def recode(content: bytes, rng: np.random.Generator) -> bytes:
    """The text in another encoding."""
    encoding = ("utf-16", "utf-16-le", "utf-32", "cp037")[int(rng.integers(4))]
    return content.decode("latin-1").encode(encoding)


def quote(content: bytes, rng: np.random.Generator) -> bytes:
    """A quotation mark or a brace too many."""
    place = int(rng.integers(len(content)))
    return content[:place] + b"\"'{}[],;:\t"[int(rng.integers(10)) :][:1] + content[place:]


def empty(content: bytes, rng: np.random.Generator) -> bytes:
    return b""


DAMAGES: tuple[Damage, ...] = (
    flip_bit, flip_bit, flip_bit, cut, zero_block, repeat, drop, garble, recode, quote, empty,
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Args:
        kind: "refused by name", "harmless", "read as it stands" or a fault.
        text: What was said.
    """

    kind: str
    text: str = ""


FAULTS = ("raw tracebacks", "silent", "unnamed", "too slow")


def attempt(reader: Reader, expected: Any) -> Outcome:
    """Read a file that is damaged by now."""
    shown = io.StringIO()
    try:
        with limited(), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            found = reader.read()
    except FerlitError as error:
        is_named = reader.path.name in str(error)
        return Outcome("refused by name" if is_named else "unnamed", str(error))
    except TimeoutError:
        return Outcome("too slow")
    except Exception:
        return Outcome("raw tracebacks", traceback.format_exc())
    if found == expected:
        return Outcome("harmless")
    return (
        Outcome("silent", f"{found!r:.300}") if reader.is_vouched else Outcome("read as it stands")
    )


@contextlib.contextmanager
def limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="readers whose name holds this text")
    given = parser.parse_args(arguments)
    counts = damage(given.inputs, given.seed, given.only)
    return int(any(counts[kind] for kind in FAULTS))


def damage(inputs: int, seed: int = 0, only: str = "") -> Counter[str]:
    """Damage so many inputs, tell of each fault, and count what became of them.

    Args:
        inputs: How many.
        seed: Fixes the files and the damages.
        only: Readers whose name holds this text.

    Returns:
        By the kind of the outcome, see `Outcome` and `FAULTS`.
    """
    before = logging.getLogger("ferlit").level
    logging.getLogger("ferlit").setLevel(logging.CRITICAL)
    counts: Counter[str] = Counter()
    by_reader: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="damaging-") as folder:
        readers = [reader for reader in build(Path(folder)) if only in reader.name]
        answers = {reader.name: reader.read() for reader in readers}
        for number in track(range(inputs), "damaging", disable=not sys.stdout.isatty()):
            rng = np.random.default_rng((seed, number))
            reader = readers[number % len(readers)]
            change = DAMAGES[int(rng.integers(len(DAMAGES)))]
            whole = reader.path.read_bytes()
            try:
                reader.path.write_bytes(change(whole, rng))
                outcome = attempt(reader, answers[reader.name])
            finally:
                reader.path.write_bytes(whole)
            counts[outcome.kind] += 1
            by_reader.setdefault(reader.name, Counter())[outcome.kind] += 1
            if outcome.kind in FAULTS:
                print(f"\ninput {number}, {reader.name}, {change.__name__}: {outcome.kind}")
                print(f"{outcome.text[-1500:]}\n", flush=True)
    for name, kinds in sorted(by_reader.items()):
        print(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    print(
        f"{inputs} inputs: {counts['refused by name']} refused by name, "
        f"{counts['harmless']} harmless, {counts['read as it stands']} read as they stand (no "
        f"checksum), " + ", ".join(f"{counts[kind]} {kind}" for kind in FAULTS)
    )
    logging.getLogger("ferlit").setLevel(before)
    return counts


if __name__ == "__main__":
    sys.exit(main())
