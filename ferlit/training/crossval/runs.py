"""The runs of a cross-validation: one system, seed and fold each."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ferlit.errors import DataError
from ferlit.evaluation.pooling import TestedRun
from ferlit.evaluation.tables import read_predictions
from ferlit.runs.record import read_run
from ferlit.training.crossval.rounds import Round, Rounds
from ferlit.training.processes.fit import Fit
from ferlit.training.processes.pool import Process


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
        return self.rounds.part == "val" and self.fit.is_finished and not self._table.is_file()

    def start(self, environment: Mapping[str, str]) -> Process:
        """Start what is missing: the fit or, after it, the predictions."""
        return self.fit.start(environment, "predict" if self.is_due_prediction else "fit")

    @property
    def tested(self) -> TestedRun | None:
        """Its results; None while it is not done."""
        if self._tested is None and self.fit.is_finished and self._table.is_file():
            self._tested = self._read()
        return self._tested

    def drop_last_checkpoint(self) -> None:
        """Remove what only an unfinished run needs: half of the disk that a run takes."""
        self.fit.last_checkpoint.unlink(missing_ok=True)

    @property
    def _table(self) -> Path:
        name = "predictions.csv" if self.rounds.part == "test" else "predictions_all.csv"
        return self.fit.folder / name

    def _seen(self) -> dict[str, Any]:
        """``people`` where the network has seen some of those who judge it."""
        path = self.fit.folder / "metrics.json"
        says = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {"people": says["people"]} if "people" in says else {}

    def _read(self) -> TestedRun:
        predictions = read_predictions(self._table, self.rounds.classes)
        predictions = predictions[predictions["image"].isin(self.round.images)]
        if len(predictions) != len(self.round.images):
            raise DataError(
                f"{self._table}: predictions of {len(predictions)} of "
                f"{len(self.round.images)} images; remove {self.fit.folder} and start again"
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
                "checkpoint": self.fit.checkpoint.relative_to(self.root).as_posix(),
                "seconds": read_run(self.fit.folder).get("seconds"),
                **self._seen(),
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
                root / "runs" / system / f"seed_{seed}" / round_.folder,
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
