"""The runs of a cross-validation: one system, seed and fold each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ferlit.errors import DataError
from ferlit.evaluation.pooling import TestedRun
from ferlit.runs.folder import PREDICTED, TESTED, RunFolder
from ferlit.training.crossval.rounds import Round, Rounds
from ferlit.training.subprocesses.fit import Fit
from ferlit.training.subprocesses.pool import Process


@dataclass(eq=False)
class CrossvalRun:
    """One system, seed and fold.

    Args:
        system: Name of the system.
        seed: Of the weights and of the order and augmentation of the images.
        round: Which people train, validate and judge.
        rounds: What it is one of.
        fit: The process that trains it.
        root: Folder of the cross-validation.
    """

    system: str
    seed: int
    round: Round
    rounds: Rounds
    fit: Fit
    root: Path
    _tested: TestedRun | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """For people, such as "softmax seed 0 fold 3"."""
        return f"{self.system} seed {self.seed} {self.round.folder.replace('_', ' ')}"

    @property
    def is_due_prediction(self) -> bool:
        """Whether it is trained, and only ``predict`` tells how the judging images come out.

        A fit tests by itself, but not where the validation images must judge.
        """
        return self.rounds.part == "val" and self.fit.run.is_finished and not self._table.is_file()

    def start(self, environment: Mapping[str, str]) -> Process:
        """Start what is missing: the fit or, after it, the predictions."""
        return self.fit.start(environment, "predict" if self.is_due_prediction else "fit")

    @property
    def tested(self) -> TestedRun | None:
        """Its results; None while it is not done."""
        if self._tested is None and self.fit.run.is_finished and self._table.is_file():
            self._tested = self._read()
        return self._tested

    def drop_last_checkpoint(self) -> None:
        """Remove what only an unfinished run needs: half of the disk that a run takes."""
        self.fit.run.last.unlink(missing_ok=True)

    @property
    def _table(self) -> Path:
        return self.fit.run.path / (TESTED if self.rounds.part == "test" else PREDICTED)

    def _read(self) -> TestedRun:
        run, results = self.fit.run, self.fit.run.results()
        # Where the network has seen some of those who judge it.
        people = {"people": results["people"]} if "people" in results else {}
        predictions = run.predictions(self._table.name)
        predictions = predictions[predictions["image"].isin(self.round.images)]
        if len(predictions) != len(self.round.images):
            raise DataError(
                f"{self._table}: predictions of {len(predictions)} of "
                f"{len(self.round.images)} images; remove {run.path} and start again"
            )
        return TestedRun(
            system=self.system,
            seed=self.seed,
            fold=self.round.fold,
            classes=self.rounds.classes,
            rule=self.rounds.sequence_rule,
            predictions=predictions.reset_index(drop=True),
            details={
                "counts": self.round.counts,
                "checkpoint": run.best.relative_to(self.root).as_posix(),
                "seconds": run.record().get("seconds"),
                **people,
            },
        )


def plan_runs(
    root: Path, options: Mapping[str, list[str]], seeds: Iterable[int], rounds: Rounds
) -> list[CrossvalRun]:
    """Every run, fold after fold, so that the systems meet on the first people early.

    Args:
        root: Folder of the cross-validation.
        options: System -> options of ``ferlit fit``.
        seeds: The seeds.
        rounds: The data.
    """
    return [
        CrossvalRun(
            system,
            seed,
            round_,
            rounds,
            Fit(
                RunFolder(root / "runs" / system / f"seed_{seed}" / round_.folder),
                (
                    *given,
                    f"--seed_everything={seed}",
                    f"--data.seed={seed}",
                    f"--data.fold={'null' if round_.fold is None else round_.fold}",
                ),
            ),
            root,
        )
        for seed in seeds
        for system, given in options.items()
        for round_ in rounds.rounds
    ]
