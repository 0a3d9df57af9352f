import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ferlit.errors import FerlitError
from ferlit.runs.folder import RunFolder
from ferlit.training.subprocesses.fit import Fit
from ferlit.training.subprocesses.pool import Process, make_slots, run_pool, stop


@dataclass(eq=False)
class Script:
    """A Python program that stands for a fit."""

    code: str
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def start(self, environment: Mapping[str, str]) -> Process:
        self.environments.append(environment)
        return subprocess.Popen(
            [sys.executable, "-c", self.code],
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )


def nothing(running: list[Script]) -> None:
    pass


def test_every_task_runs_and_one_that_fails_does_not_stop_the_others() -> None:
    scripts = [Script("pass"), Script("raise SystemExit(3)"), Script("pass")]
    codes: dict[Script, int] = {}
    together: list[int] = []

    def ended(script: Script, code: int) -> None:
        codes[script] = code

    run_pool(scripts, make_slots(2, [], 2), ended, lambda running: together.append(len(running)))
    assert [codes[script] for script in scripts] == [0, 3, 0]
    assert max(together) == 2


def test_what_ended_returns_runs_next() -> None:
    again = Script("pass")
    order: list[Script] = []

    def ended(script: Script, code: int) -> Script | None:
        order.append(script)
        return again if script is first else None

    first, last = Script("pass"), Script("pass")
    run_pool([first, last], [{}], ended, nothing)
    assert order == [first, again, last]


def test_jobs_at_once_are_on_different_gpus_and_share_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    slots = make_slots(2, ["3", "5"], cores=9)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["3", "5"]
    assert {slot["OMP_NUM_THREADS"] for slot in slots} == {"4"}
    assert make_slots(4, [], cores=2) == [{"OMP_NUM_THREADS": "1"}] * 4
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert make_slots(1, [], cores=2) == [{"OMP_NUM_THREADS": "7"}]
    scripts = [Script("pass") for _ in range(4)]
    run_pool(scripts, slots, lambda script, code: None, nothing)
    used = [script.environments[0]["CUDA_VISIBLE_DEVICES"] for script in scripts]
    assert set(used[:2]) == {"3", "5"}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_processes_before_it_interrupts(
    sign: signal.Signals, tmp_path: Path
) -> None:
    code = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "try:\n    (folder / 'started').touch(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    (folder / 'ended').touch()\n"
    )

    def waiting(running: list[Script]) -> None:
        if (tmp_path / "started").exists():
            os.kill(os.getpid(), sign)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_pool([Script(code)], [{}], lambda script, code: None, waiting)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (tmp_path / "ended").exists()


def test_a_process_that_ignores_the_interrupt_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "started"
    code = (
        "import pathlib, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        f"pathlib.Path({str(mark)!r}).touch(); time.sleep(60)"
    )
    process = Script(code).start({})
    while not mark.exists():
        time.sleep(0.05)
    stop([process], patience=0.2)
    assert process.returncode == -signal.SIGKILL


def test_a_folder_where_a_fit_still_runs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Fit(RunFolder(tmp_path / "system" / "seed_0" / "fold_0"), ("--help",))
    monkeypatch.setattr("ferlit.locks.PATIENCE_SECONDS", 0.3)
    orphan = fit.start()  # held by the child alone: this process has closed the log
    try:
        with pytest.raises(FerlitError, match="still running there"):
            fit.start()
    finally:
        orphan.wait(60)
    assert orphan.returncode == 0
    assert "--trainer.max_epochs" in fit.run.log.read_text()
