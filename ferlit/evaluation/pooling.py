"""Results of many runs together: pooled over folds, spread over seeds, systems compared."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ferlit.data.records import SequenceRule
from ferlit.evaluation.comparison import SystemComparison, compare_systems
from ferlit.evaluation.results import (
    Evaluation,
    by_store,
    evaluate_images,
    evaluate_sequences,
    recognised,
)


@dataclass(frozen=True)
class TestedRun:
    """One finished run with its predictions.

    Args:
        system: Name of the system.
        seed: Its seed.
        fold: Round of the cross-validation, or None for the official split.
        classes: Names of the K classes.
        rule: How the images of a sequence vote.
        predictions: See `ferlit.evaluation.tables.prediction_table`.
        details: What else ``results.json`` says of the run: counts, checkpoint, seconds.
    """

    __test__ = False  # no test, whatever pytest thinks of the name

    system: str
    seed: int
    fold: int | None
    classes: tuple[str, ...]
    rule: SequenceRule
    predictions: pd.DataFrame
    details: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def image(self) -> Evaluation:
        return evaluate_images(self.predictions, list(self.classes))

    @cached_property
    def sequence(self) -> Evaluation | None:
        """Results by sequence, or None where the images are stills."""
        return evaluate_sequences(self.predictions, list(self.classes), self.rule)

    @cached_property
    def right(self) -> pd.Series:
        return recognised(self.predictions, self.classes, self.rule)

    def to_dict(self) -> dict[str, Any]:
        sequence = self.sequence
        return {
            "system": self.system,
            "seed": self.seed,
            "fold": self.fold,
            "image_accuracy": self.image.accuracy,
            "sequence_accuracy": sequence and sequence.accuracy,
            "confusion": self.image.confusion.tolist(),
            "confusion_sequences": sequence and sequence.confusion.tolist(),
            **self.details,
        }


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation of some numbers; None where they are not defined."""

    mean: float | None
    sd: float | None
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """That of the values.

        >>> Spread.of([0.5, 0.7]).mean, Spread.of([0.5]).sd
        (0.6, None)
        """
        return cls(
            statistics.fmean(values) if values else None,
            statistics.stdev(values) if len(values) > 1 else None,
            len(values),
        )


@dataclass(frozen=True)
class SeedResults:
    """The results of a system with one seed.

    Args:
        seed: The seed.
        folds: How many of its folds are finished.
        is_complete: Whether all are.
        levels: "image" and perhaps "sequence": pooled over its folds.
    """

    seed: int
    folds: int
    is_complete: bool
    levels: Mapping[str, Evaluation]

    def to_dict(self) -> dict[str, Any]:
        levels = {level: result.to_dict() for level, result in self.levels.items()}
        return {"seed": self.seed, "folds": self.folds, "is_complete": self.is_complete, **levels}


@dataclass(frozen=True)
class SystemResults:
    """The results of a system.

    Args:
        runs: How many runs are finished.
        levels: "image" and perhaps "sequence": pooled over all folds and seeds that are finished.
        seeds: The same of each seed.
        stores: The same as the levels of each store, where several are taken as one.
    """

    runs: int
    levels: Mapping[str, Evaluation]
    seeds: tuple[SeedResults, ...]
    stores: Mapping[str, Mapping[str, Evaluation]] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: Sequence[TestedRun], folds: int) -> "SystemResults":
        """Those of finished runs.

        Args:
            runs: The runs of the system.
            folds: How many a seed has.
        """
        by_seed: dict[int, list[TestedRun]] = {}
        for run in runs:
            by_seed.setdefault(run.seed, []).append(run)
        seeds = (
            SeedResults(seed, len(members), len(members) == folds, pool(members))
            for seed, members in by_seed.items()
        )
        members: dict[str, list[TestedRun]] = {}
        for run in runs:
            for name, own in by_store(run.predictions).items():
                members.setdefault(name, []).append(replace(run, predictions=own))
        stores = {name: pool(own) for name, own in members.items()}
        return cls(len(runs), pool(runs), tuple(seeds), stores)

    def over_seeds(self, level: str) -> Spread:
        """The accuracies of those seeds of which every fold is finished.

        Others would mix the spread of seeds with that of folds.
        """
        return Spread.of([seed.levels[level].accuracy for seed in self.seeds if seed.is_complete])

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` says of a system."""
        levels = {level: self._level(level) for level in ("image", "sequence")}
        seeds = [seed.to_dict() for seed in self.seeds]
        stores = {
            name: {level: result.to_dict() for level, result in found.items()}
            for name, found in self.stores.items()
        }
        of_stores = {"stores": stores} if stores else {}
        return {"runs": self.runs, **levels, "seeds": seeds, **of_stores}

    def _level(self, level: str) -> dict[str, Any] | None:
        if level not in self.levels:
            return None
        result, spread = self.levels[level], self.over_seeds(level)
        return {
            **result.to_dict(),
            "over_seeds": {"mean": spread.mean, "sd": spread.sd, "seeds": spread.number},
            "confusion": result.confusion.tolist(),
            "confusion_percent": result.percentages.to_numpy().tolist(),
        }


@dataclass(frozen=True)
class PooledResults:
    """The results of several systems on the same data.

    Args:
        runs: The finished runs.
        systems: By the name of the system, in the order of their first runs.
        compared_by: "image" or "sequence": the items of the comparisons.
        comparisons: Every pair of systems.
    """

    runs: tuple[TestedRun, ...]
    systems: Mapping[str, SystemResults]
    compared_by: str
    comparisons: tuple[SystemComparison, ...]

    @classmethod
    def of(cls, runs: Sequence[TestedRun], folds: int) -> "PooledResults":
        """Those of finished runs.

        Args:
            runs: The runs.
            folds: How many a system and seed has.
        """
        by_system: dict[str, list[TestedRun]] = {}
        for run in runs:
            by_system.setdefault(run.system, []).append(run)
        right: dict[str, dict[int, pd.Series]] = {}
        for system, members in by_system.items():
            seeds = dict.fromkeys(run.seed for run in members)
            right[system] = {
                seed: pd.concat([run.right for run in members if run.seed == seed])
                for seed in seeds
            }
        has_sequences = any(run.sequence is not None for run in runs)
        return cls(
            tuple(runs),
            {name: SystemResults.of(members, folds) for name, members in by_system.items()},
            "sequence" if has_sequences else "image",
            tuple(compare_systems(right)),
        )

    @property
    def of_stores(self) -> list[tuple[str, str, str, Evaluation]]:
        """System, store, level and results, where several stores are taken as one."""
        return [
            (name, store, level, result)
            for name, system in self.systems.items()
            for store, levels in system.stores.items()
            for level, result in levels.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """``classes``, ``runs``, a ``summary`` by system and the paired ``comparisons``."""
        return {
            "classes": list(self.runs[0].classes) if self.runs else [],
            "runs": [run.to_dict() for run in self.runs],
            "summary": {name: system.to_dict() for name, system in self.systems.items()},
            "comparisons": [
                {"level": self.compared_by, **comparison.to_dict()}
                for comparison in self.comparisons
            ],
        }


def pool(runs: Sequence[TestedRun]) -> dict[str, Evaluation]:
    """The confusion matrices of several runs added up: "image" and perhaps "sequence"."""
    levels = {
        "image": [run.image for run in runs],
        "sequence": [run.sequence for run in runs if run.sequence is not None],
    }
    return {
        level: Evaluation(results[0].classes, np.sum([r.confusion for r in results], axis=0))
        for level, results in levels.items()
        if results
    }
