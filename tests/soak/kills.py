"""Starts a command, stops it at a random moment, and lets it go on, until it comes to its end."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.scenario import Results, Scenario, differences

ROOT = Path(__file__).parents[2]
TRACEBACK = "Traceback (most recent call last)"
PATIENCE_SECONDS = 600.0  # for what is left alone to end
# A machine that goes down takes all processes; the system's out-of-memory killer takes one.
STOPS = ("SIGKILL to all", "SIGKILL to the first", "SIGTERM to all", "SIGTERM to the first")


@dataclass
class Tally:
    """What became of the stopped runs of a scenario.

    Args:
        name: Of the scenario.
        kills: How often a run was stopped, by which signal.
        runs: How many came to their end, or should have.
        lost: Runs that could not be brought to their end.
        different: Runs with other results than the undisturbed one.
        tracebacks: Logs, of the command or of what it started, that hold a raw traceback.
    """

    name: str
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    lost: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.different or self.tracebacks)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.kills.total()} kills in {self.runs} runs: {len(self.lost)} lost, "
            f"{len(self.different)} different numbers, {len(self.tracebacks)} raw tracebacks"
        )


class Attempt:
    """One start of a command, whose output goes into a file beside its folder."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.log = folder.with_name(f"{folder.name}.log")
        self.before = self.log.stat().st_size if self.log.is_file() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ferlit", *scenario.command(folder)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(["nmloss/src", "."])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A script that runs in the background ignores SIGINT, and so would its children.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def output(self) -> str:
        """What it printed."""
        return self.log.read_bytes()[self.before :].decode("utf-8", errors="replace")

    def ended_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, how: str) -> bool:
        """Stop it; whether it ended."""
        if how == "SIGKILL to all":
            self.kill()
        elif how == "SIGTERM to all":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
        elif how == "SIGKILL to the first":
            self.process.kill()
        else:
            self.process.terminate()
        return self.ended_within(PATIENCE_SECONDS)

    def kill(self) -> None:
        """End it and all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def undisturbed(scenario: Scenario, folder: Path) -> tuple[Results, float]:
    """The results of a run that nobody stops, and the seconds that it took.

    Raises:
        RuntimeError: it failed.
    """
    start = time.monotonic()
    attempt = Attempt(scenario, folder)
    if not attempt.ended_within(PATIENCE_SECONDS) or attempt.process.returncode != 0:
        attempt.kill()
        raise RuntimeError(f"{scenario.name} fails undisturbed:\n{attempt.output[-2000:]}")
    return scenario.results(folder), time.monotonic() - start


def soak(
    scenario: Scenario, work: Path, kills: int, seed: int, tell: Callable[[str], None]
) -> Tally:
    """Stop runs of a scenario so many times, and compare each with the undisturbed one.

    Args:
        scenario: What is run.
        work: Gets a folder for each run; those that went well are removed.
        kills: How many.
        seed: Fixes the moments and the signals.
        tell: Gets a line a run.
    """
    rng, tally = random.Random(f"{scenario.name} {seed}"), Tally(scenario.name)
    expected, seconds = undisturbed(scenario, work / "undisturbed")
    tell(f"{scenario.name}: {seconds:.0f} s undisturbed, {len(expected)} results")
    while tally.kills.total() < kills:
        tally.runs += 1
        folder = work / f"run_{tally.runs}"
        before = len(tally.lost) + len(tally.tracebacks)
        has_ended = _run(scenario, folder, rng, seconds, kills, tally)
        if has_ended:
            found = differences(expected, scenario.results(folder))
            if found:
                tally.different.append(f"{folder}: {', '.join(found)}")
        if has_ended and not found and len(tally.lost) + len(tally.tracebacks) == before:
            shutil.rmtree(folder)
            folder.with_name(f"{folder.name}.log").unlink()
        tell(str(tally))
    return tally


def _run(
    scenario: Scenario,
    folder: Path,
    rng: random.Random,
    seconds: float,
    kills: int,
    tally: Tally,
) -> bool:
    """Start a run, stop it once or several times, let it go on; whether it came to its end."""
    planned = min(rng.choice((1, 2, 3)), kills - tally.kills.total())
    deadline = time.monotonic() + PATIENCE_SECONDS + seconds * planned
    while time.monotonic() < deadline:
        attempt = Attempt(scenario, folder)
        patience = rng.uniform(0.0, seconds) if planned else PATIENCE_SECONDS
        has_ended = attempt.ended_within(patience)
        if not has_ended and planned:
            how = rng.choice(STOPS)
            planned -= 1
            tally.kills[how] += 1
            if not attempt.stop(how):
                tally.lost.append(f"{folder}: did not end after {how}")
                attempt.kill()
                return False
            torn = scenario.stopped(folder)
            if torn:
                tally.lost.append(f"after {how}: {torn}")
        output = attempt.output
        for log in _with_tracebacks(attempt, folder):
            if log not in tally.tracebacks:
                tally.tracebacks.append(log)
        if not has_ended and planned >= 0 and attempt.process.returncode not in (0, 1, 2):
            continue
        if scenario.busy in output:
            time.sleep(1.0)
        elif attempt.process.returncode == 0:
            return True
        elif has_ended:
            break
    tally.lost.append(f"{folder}: exit code {attempt.process.returncode}\n{output[-1000:]}")
    attempt.kill()
    return False


def _with_tracebacks(attempt: Attempt, folder: Path) -> list[str]:
    """The logs with a raw traceback: what the command printed, and its children's logs."""
    children = sorted(folder.rglob("*.log"))
    texts = [(attempt.log, attempt.output)]
    texts += [(log, log.read_text(encoding="utf-8", errors="replace")) for log in children]
    return [str(log) for log, text in texts if TRACEBACK in text]
