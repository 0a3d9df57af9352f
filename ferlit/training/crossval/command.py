"""``ferlit crossval``: systems x seeds x folds, each fit a process of its own."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from ferlit.errors import FerlitError, UsageError
from ferlit.evaluation.pooling import PooledResults
from ferlit.evaluation.tables import write_confusions
from ferlit.files import write_json
from ferlit.locks import is_taken
from ferlit.runs.folder import BEST, CHECKPOINTS, RunFolder
from ferlit.training.crossval.display import Display, print_results
from ferlit.training.crossval.grid import CrossvalRun, plan_runs
from ferlit.training.crossval.options import parse_options, read_seeds, read_systems
from ferlit.training.crossval.rounds import Rounds, check_starts, prepare, same_rounds
from ferlit.training.crossval.settings import Settings, comparable
from ferlit.training.fit.options import resolve
from ferlit.training.subprocesses.pool import make_slots, run_pool, visible_gpus

RESULTS = "results.json"
_SHOWN_FAILURES = 5  # more would hide the message at the top


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit crossval``."""
    given, rest = parse_options(command, options)
    console = Console()
    overlays, seeds, folder = read_systems(given.systems), read_seeds(given.seeds), given.output
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: a file of that name is in the way")
    before = Settings.read(folder)
    if not _has_begun(folder):
        before = None  # so nothing binds
    # A folder gathers runs: later calls may add systems and seeds, with the same options.
    known = (before.overlays if before else {}) | overlays
    base = [f"--config={name}" for name in given.config]
    options_of = {
        system: [*base, f"--config={overlay}", *rest] for system, overlay in known.items()
    }
    configs = {
        system: resolve(options, f"the options do not fit the system {system}")
        for system, options in options_of.items()
    }
    _refuse_shared_checkpoints(configs)
    store = prepare(configs[next(iter(overlays))])
    named = store if isinstance(store, str) else json.dumps(store)
    for system, config in configs.items():  # so that no two fits prepare at the same time
        config["data"]["init_args"].update(root=None, store=store)
        options_of[system] += ["--data.root=null", f"--data.store={named}"]
    rounds = same_rounds(configs)
    check_starts(configs)
    settings = Settings(
        overlays=known,
        settings={system: comparable(config) for system, config in configs.items()},
        seeds=sorted({*seeds, *(before.seeds if before else [])}),
        content=rounds.content,
    )
    _refuse_other_options(folder, before, settings)
    trainer = configs[next(iter(overlays))]["trainer"]
    gpus = visible_gpus() if trainer["accelerator"] in ("auto", "gpu", "cuda") else []
    if gpus and trainer["devices"] not in ("auto", 1, "1", -1, "-1"):
        raise UsageError(
            f"--trainer.devices {trainer['devices']}: every fit gets one GPU of its own; "
            "leave the option out, and give --jobs"
        )
    if rounds.part == "val":
        console.print(
            f"{rounds.database} has no labelled test images: the validation images judge, on which "
            "the epoch is chosen as well, so these accuracies flatter",
            highlight=False,
        )
    with _alone_in(folder):
        settings.write(folder)
        runs = plan_runs(folder, options_of, settings.seeds, rounds)
        asked = [run for run in runs if run.system in overlays and run.seed in seeds]
        jobs = given.jobs or len(gpus) or 1
        failed = _run_all(runs, asked, folder, rounds, jobs, gpus, console)
        results = _pooled(runs, rounds)
        for name, found in results.systems.items():
            write_confusions(name, found.levels, folder)
        if results.runs:
            print_results(rounds, results, console)
            console.print(
                f"results: {folder / RESULTS} and confusion_*",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    if failed:
        raise FerlitError(_failures(failed, len(asked)))


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other cross-validations out of the folder: they would run the same fits."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # no locks there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if is_taken(handle):
            raise FerlitError(
                f"{folder}: another ferlit crossval is running there; wait for its end, "
                "or give another --output"
            )
        yield
    finally:
        os.close(handle)


def _run_all(
    runs: list[CrossvalRun],
    asked: list[CrossvalRun],
    folder: Path,
    rounds: Rounds,
    jobs: int,
    gpus: list[str],
    console: Console,
) -> dict[CrossvalRun, int]:
    """Run what is not done; return what failed, with the exit codes."""
    failed: dict[CrossvalRun, int] = {}

    def ended(run: CrossvalRun, code: int) -> CrossvalRun | None:
        if run.tested is not None:
            run.drop_last_checkpoint()
            _write_results(runs, rounds, folder)
            display.finished(run)
        elif code == 0 and run.is_due_prediction:
            return run
        else:
            failed[run] = code
            display.failed(run)
        return None

    for run in runs:  # whatever an earlier call that was killed did not come to
        if run.tested is not None:
            run.drop_last_checkpoint()
    _write_results(runs, rounds, folder)
    todo = [run for run in asked if run.tested is None]
    with Display(asked, console) as display:
        run_pool(todo, make_slots(jobs, gpus, _cores()), ended, display.update)
    return failed


def _pooled(runs: Iterable[CrossvalRun], rounds: Rounds) -> PooledResults:
    done = [run.tested for run in runs if run.tested is not None]
    return PooledResults.of(done, len(rounds.rounds))


def _write_results(runs: Iterable[CrossvalRun], rounds: Rounds, folder: Path) -> None:
    about = {"database": rounds.database, "part": rounds.part, "rounds": len(rounds.rounds)}
    write_json(folder / RESULTS, {**about, **_pooled(runs, rounds).to_dict()})


def _failures(failed: dict[CrossvalRun, int], total: int) -> str:
    shown = [
        f"{run.name}, exit code {code}; the end of {run.fit.run.log}:\n{run.fit.log_end(12)}"
        for run, code in list(failed.items())[:_SHOWN_FAILURES]
    ]
    others = [f"{run.name}: see {run.fit.run.log}" for run in list(failed)[_SHOWN_FAILURES:]]
    return "\n\n".join(
        [
            f"{len(failed)} of {total} runs failed; what is finished is evaluated",
            *shown,
            *(["\n".join(others)] if others else []),
            "The same command tries the failed ones again.",
        ]
    )


def _has_begun(folder: Path) -> bool:
    """Whether a run has a checkpoint to go on from, or is finished with or without checkpoints."""
    runs = map(RunFolder, folder.glob("runs/*/*/*"))
    return any(run.is_finished or any(run.path.glob(f"{CHECKPOINTS}/*.ckpt")) for run in runs)


def _refuse_shared_checkpoints(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Runs that share a folder of checkpoints would test each other's networks."""
    for system, config in configs.items():
        checkpoint = config["checkpoint"]
        if checkpoint["dirpath"] is not None or f"{checkpoint['filename']}.ckpt" != BEST:
            raise UsageError(
                f"checkpoint.dirpath and checkpoint.filename are not for crossval ({system}): "
                f"every run keeps {BEST} in a folder of its own"
            )


def _refuse_other_options(folder: Path, before: Settings | None, now: Settings) -> None:
    differences = before.differences(now) if before else []
    if differences:
        shown = differences[:20]
        if len(differences) > len(shown):
            shown.append(f"and {len(differences) - len(shown)} more")
        raise UsageError(
            f"{folder} holds runs that were made with other options:\n  "
            + "\n  ".join(shown)
            + "\ngive the same options, or another --output"
        )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
