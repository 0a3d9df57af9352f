"""``ferlit crossval``: systems x seeds x folds, each fit a process of its own."""

import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from ferlit.errors import FerlitError, UsageError
from ferlit.evaluation.pooling import PooledResults
from ferlit.evaluation.tables import write_confusions
from ferlit.files import write_json
from ferlit.locks import alone_in
from ferlit.training.crossval.display import Display, print_results
from ferlit.training.crossval.grid import CrossvalRun, plan_runs
from ferlit.training.crossval.options import parse_options, read_seeds, read_systems
from ferlit.training.crossval.rounds import Rounds, check_starts, prepare, same_rounds
from ferlit.training.crossval.settings import Settings, comparable
from ferlit.training.fit.options import resolve
from ferlit.training.subprocesses.grids import (
    available_cores,
    check_checkpoints,
    failures,
    gpus_of,
    has_begun,
    refuse_differences,
)
from ferlit.training.subprocesses.pool import make_slots, run_pool

RESULTS = "results.json"


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit crossval``."""
    given, rest = parse_options(command, options)
    console = Console()
    overlays, seeds, folder = read_systems(given.systems), read_seeds(given.seeds), given.output
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: a file of that name is in the way")
    before = Settings.read(folder)
    if not has_begun(folder):
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
    check_checkpoints(command, configs)
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
    refuse_differences(folder, before.differences(settings) if before else [])
    gpus = gpus_of(configs[next(iter(overlays))]["trainer"])
    if rounds.part == "val":
        console.print(
            f"{rounds.database} has no labelled test images: the validation images judge, on which "
            "the epoch is chosen as well, so these accuracies flatter",
            highlight=False,
        )
    with alone_in(folder, command, "give another --output"):
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
        raise FerlitError(failures(failed, len(asked)))


def _run_all(
    runs: list[CrossvalRun],
    asked: list[CrossvalRun],
    folder: Path,
    rounds: Rounds,
    jobs: int,
    gpus: list[str],
    console: Console,
) -> dict[CrossvalRun, str]:
    """Run what is not done; return what failed, with the exit codes."""
    failed: dict[CrossvalRun, str] = {}

    def ended(run: CrossvalRun, code: int) -> CrossvalRun | None:
        if run.tested is not None:
            run.drop_last_checkpoint()
            _write_results(runs, rounds, folder)
            display.finished(run)
        elif code == 0 and run.is_due_prediction:
            return run
        else:
            failed[run] = f"exit code {code}"
            display.failed(run)
        return None

    for run in runs:  # whatever an earlier call that was killed did not come to
        if run.tested is not None:
            run.drop_last_checkpoint()
    _write_results(runs, rounds, folder)
    todo = [run for run in asked if run.tested is None]
    with Display(asked, console) as display:
        run_pool(todo, make_slots(jobs, gpus, available_cores()), ended, display.update)
    return failed


def _pooled(runs: Iterable[CrossvalRun], rounds: Rounds) -> PooledResults:
    done = [run.tested for run in runs if run.tested is not None]
    return PooledResults.of(done, len(rounds.rounds))


def _write_results(runs: Iterable[CrossvalRun], rounds: Rounds, folder: Path) -> None:
    about = {"database": rounds.database, "part": rounds.part, "rounds": len(rounds.rounds)}
    about |= {"folds_by": rounds.folds_by} if rounds.folds_by else {}
    write_json(folder / RESULTS, {**about, **_pooled(runs, rounds).to_dict()})
