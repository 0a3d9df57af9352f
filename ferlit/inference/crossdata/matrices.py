"""The whole matrix: all is checked first, then trained, tested, and written after every network."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from ferlit.data.preparation.choices import other_options
from ferlit.errors import DataError, FerlitError, UsageError
from ferlit.inference.crossdata.cells import Cell
from ferlit.inference.crossdata.copies import Copies
from ferlit.inference.crossdata.members import Member, Rounds, open_members
from ferlit.inference.crossdata.outputs import print_matrix, print_members, write_matrix
from ferlit.inference.crossdata.runs import CrossRun, plan_runs
from ferlit.inference.crossdata.settings import Judging, Settings
from ferlit.inference.evaluate.judging import known_faces
from ferlit.locks import alone_in
from ferlit.options import option_values
from ferlit.runs.seen import ALLOW, seen_among
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

logger = logging.getLogger(__name__)


def train_and_test(
    folders: Sequence[Path],
    options: Sequence[str],
    output: Path,
    *,
    seeds: Sequence[int],
    rounds: Rounds | None,
    is_official: bool,
    judging: Judging,
    jobs: int | None = None,
    device: str = "cpu",
    command: str = "crossdata",
) -> None:
    """Train a network on each store, and test each on all of them.

    Args:
        folders: The stores.
        options: Of every ``ferlit fit``.
        output: Folder of all that comes out.
        seeds: Of the fits.
        rounds: Of stores that are split by folds; None for the first.
        is_official: Whether official splits are taken where there are any.
        judging: How the networks are tested.
        jobs: Fits at once; None for one a GPU.
        device: Where the tests run.
        command: Its name, for messages.

    Raises:
        FerlitError: the options, or the stores, cannot be used so; nothing is trained or written
            then. Or a fit or a test failed; the others are there then.
    """
    before = Settings.read(output)
    if not has_begun(output):
        before = None  # so nothing binds
    members = open_members(folders, options, rounds=rounds, is_official=is_official)
    configs = {member.name: member.config for member in members}
    check_checkpoints(command, configs)
    config = members[0].config
    judging = replace(judging, allow_seen_people=bool(config[ALLOW]))
    _check_used(options, members, is_round_given=rounds is not None)
    seeds_of_all = sorted({*seeds, *(before.seeds if before else [])})
    settings = Settings.of(members, judging, seeds_of_all)
    refuse_differences(output, before.differences(settings) if before else [])
    _check_pairs(members, judging)
    gpus = gpus_of(config["trainer"])
    console = Console()
    with alone_in(output, command, "give another --output"):
        settings.write(output)
        print_members(members, console)
        runs = plan_runs(output, members, settings.seeds, judging)
        asked = [run for run in runs if run.seed in seeds]
        grid = _Grid(members, runs, output, device, console)
        failed = grid.run(asked, jobs or len(gpus) or 1, gpus)
        cells = grid.cells()
        if cells:
            print_matrix(members, cells, console)
            console.print(
                f"results: {output}/results.json, matrix.csv and matrix.png",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    if failed:
        raise FerlitError(failures(failed, len(asked)))


class _Grid:
    """The networks of a matrix and what came of them so far.

    Args:
        members: The stores.
        runs: All networks.
        output: Folder of the matrix.
        device: Where the tests run.
        console: Where to print.
    """

    def __init__(
        self,
        members: Sequence[Member],
        runs: Sequence[CrossRun],
        output: Path,
        device: str,
        console: Console,
    ) -> None:
        self.members = members
        self.runs = runs
        self.output = output
        self.device = device
        self.console = console
        self.tested: list[CrossRun] = []
        self.failed: dict[CrossRun, str] = {}
        self._cells: dict[tuple[str, str], Cell] = {}

    def run(self, asked: Sequence[CrossRun], jobs: int, gpus: Sequence[str]) -> dict[CrossRun, str]:
        """Train and test what is not done; what failed, with the reasons."""
        self.tested = [run for run in self.runs if all(map(run.is_tested, self.members))]
        done = sum(run in self.tested for run in asked)
        if done:
            self._say(f"{done} of {len(asked)} networks are trained and tested already")
        todo = [run for run in asked if run not in self.tested]
        for run in todo:
            if run.is_trained:
                self._test(run)
        write_matrix(self.members, self.cells(), self.output)

        def ended(run: CrossRun, code: int) -> None:
            if code == 0 and run.is_trained:
                self._test(run)
                write_matrix(self.members, self.cells(), self.output)
            else:
                self._fail(run, f"exit code {code}")

        due = [run for run in todo if not run.is_trained]
        slots = make_slots(jobs, gpus, available_cores())
        with self.console.status("") as status:  # nothing where there is no terminal
            run_pool(
                due,
                slots,
                ended,
                lambda running: status.update(
                    f"{len(self.tested)} of {len(self.runs)} networks; training "
                    + ", ".join(run.name for run in running)
                ),
            )
        return self.failed

    def cells(self) -> list[Cell]:
        """Those that have a network, row by row."""
        for trained in self.members:
            runs = tuple(run for run in self.runs if run in self.tested and run.member is trained)
            for tested in self.members if runs else []:
                key = trained.name, tested.name
                if key not in self._cells or self._cells[key].runs != runs:
                    said = tuple(run.said(tested) for run in runs)
                    sampling = runs[0].judging.sampling
                    self._cells[key] = Cell(trained, tested, runs, said, sampling)
        order = [(row.name, column.name) for row in self.members for column in self.members]
        return [self._cells[key] for key in order if key in self._cells]

    def _test(self, run: CrossRun) -> None:
        run.fit.run.last.unlink(missing_ok=True)  # only an unfinished run needs it
        try:
            run.test(self.members, self.device)
        except FerlitError as error:
            self._fail(run, f"trained, but not tested: {error}")
            return
        self.tested.append(run)
        figures = ", ".join(
            f"{member.name} {image['accuracy']:.1%} of {image['total']}"
            for member in self.members
            for image in [run.said(member).evaluation["image"]]
        )
        self._say(f"{run.name}: {figures} ({len(self.tested)} of {len(self.runs)} networks)")

    def _fail(self, run: CrossRun, reason: str) -> None:
        self.failed[run] = reason
        self._say(f"{run.name}: failed, see {run.fit.run.log}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _check_used(options: Sequence[str], members: Sequence[Member], *, is_round_given: bool) -> None:
    """See that no option is given that no store uses."""
    given = ["--data.folds"] * ("data.folds" in option_values(options))
    given += ["--fold"] * is_round_given
    if given and all(member.folds is None for member in members):
        raise UsageError(
            f"{given[0]}: every store has an official split, so there are no folds; "
            "leave it out, or give --split folds"
        )
    data = resolve(options, "the options").get("data") or {}
    reader = (data.get("init_args") or {}).get("reader")
    if reader:
        found = {each.name: other_options(each.store.description, reader) for each in members}
        others = "; ".join(f"{name}: {', '.join(lines)}" for name, lines in found.items() if lines)
        logger.warning(
            "data.reader %s of the configuration is not used: the stores are prepared already%s",
            *(reader, f" ({others})" if others else ""),
        )


def _check_pairs(members: Sequence[Member], judging: Judging) -> None:
    """See that every network will have faces that judge it on every store.

    Raises:
        FerlitError: one will not.
    """
    for trained in members:
        for fold, training in trained.trainings.items():
            for tested in members:
                part = tested.part(fold if tested is trained else None)
                classes = trained.store.description.classes
                _, part, _ = known_faces(classes, tested.store, part, common=judging.common)
                which = f"{trained.name} ({_title(fold)}) on {tested.name}"
                seen = seen_among(training, tested.store, part.rows, "test")
                stay = seen.of if judging.allow_seen_people else seen.of - seen.images
                copies = Copies.beside(seen, trained, tested)
                for note in copies.notes(trained.name, tested.name, stay):
                    logger.warning("%s: %s", which, note)
                if not seen.images:
                    continue
                if judging.allow_seen_people:
                    logger.warning("%s: %s (--%s true: they stay)", which, seen, ALLOW)
                    continue
                if not stay:
                    raise DataError(
                        f"{which}: all {seen.of} tested faces, or their persons, are among those "
                        "that train and validate the network, so that none could judge it; leave "
                        "one of the stores out, or split by persons: --split folds"
                    )
                logger.warning("%s: %s; they are left out", which, seen)


def _title(fold: int | None) -> str:
    return "official split" if fold is None else f"fold {fold}"
