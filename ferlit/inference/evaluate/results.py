"""A store that is evaluated, and what a model gave on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.preparation.choices import options_text
from ferlit.data.store import Store
from ferlit.evaluation.bootstrap import LEVEL, Interval, Units
from ferlit.evaluation.calibration import Calibration
from ferlit.evaluation.results import Evaluation
from ferlit.inference.evaluate.matching import Matching
from ferlit.inference.evaluate.parts import Part
from ferlit.inference.prior import Prior, prior_text, ratios
from ferlit.runs.seen import Seen
from ferlit.runs.settings import Change


@dataclass(frozen=True)
class Judged:
    """A store before the model sees it.

    Args:
        name: For people; every store of an evaluation has another one.
        store: The store.
        part: Its faces that judge.
        left_out: Faces of expressions that the model does not know, by the expression.
        matching: The classes.
        seen: Which of the faces the model knows.
        changed: How the faces were made otherwise than in its training.
        seen_before: Which were left out since the model knows them; None where that is no reason.
    """

    name: str
    store: Store
    part: Part
    left_out: dict[str, int]
    matching: Matching
    seen: Seen
    changed: tuple[Change, ...]
    seen_before: Seen | None = None


@dataclass(frozen=True)
class Sampling:
    """How intervals are drawn.

    Args:
        draws: How many; none for no intervals.
        seed: Fixes them.
    """

    draws: int = 1000
    seed: int = 0

    def drawn(self, units: Units, *, is_defined: bool) -> str:
        """What was drawn, for people.

        Args:
            units: Of the faces.
            is_defined: Whether they give intervals.
        """
        if not self.draws:
            return "no intervals were asked for"
        if not is_defined:
            return f"no intervals: they are not defined for {units}"
        return f"{LEVEL}% intervals: {self.draws} bootstrap draws of {units}"


@dataclass(frozen=True)
class Expected:
    """How often the classes are to be expected where a model is judged.

    Args:
        prior: As ``--prior`` says it.
        ratios: (K,) what the model's probabilities are multiplied by; None where they stay.
    """

    prior: str = "training"
    ratios: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, prior: Prior, classes: Sequence[str], implied: Sequence[float]) -> "Expected":
        """What is expected of a model's classes; see `ferlit.inference.prior.ratios`."""
        return cls(prior_text(prior), ratios(prior, classes, implied))

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """What ``evaluation.json`` says of it."""
        factors = None
        if self.ratios is not None:
            factors = dict(zip(classes, map(float, self.ratios), strict=True))
        return {"expected": self.prior, "ratios": factors}


@dataclass(frozen=True)
class StoreResult:
    """What a model gave on a store.

    Args:
        judged: The store.
        predictions: One row a face, see `ferlit.evaluation.tables.prediction_table`; labels are
            those of the model.
        results: "image" and, where there are sequences, "sequence".
        calibration: Of the faces.
        intervals: By level and figure; a level has none where nothing can be drawn.
        units: What was drawn.
        sampling: How.
        expected: What the probabilities were multiplied by.
    """

    judged: Judged
    predictions: pd.DataFrame
    results: dict[str, Evaluation]
    calibration: Calibration
    intervals: dict[str, dict[str, Interval]]
    units: Units
    sampling: Sampling
    expected: Expected = Expected()

    @property
    def persons(self) -> int:
        """Those who have a name."""
        return len(set(self.predictions["identity"]) - {""})

    @property
    def drawn(self) -> str:
        """What was drawn, for people."""
        return self.sampling.drawn(self.units, is_defined=bool(self.intervals["image"]))

    def notes(self) -> list[str]:
        """What was left out, and what else must be known to read the figures."""
        judged, matching = self.judged, self.judged.matching
        lines = [f"part {judged.part.name} ({judged.part.why}); {self.drawn}"]
        known = judged.store.description
        if options := options_text(known.database, known.reader):
            lines.append(f"{known.database}: {options}")
        if self.expected.ratios is not None:
            factors = zip(matching.model, self.expected.ratios, strict=True)
            shown = ", ".join(f"{name} {ratio:.3g}" for name, ratio in factors)
            lines.append(f"--prior {self.expected.prior}: probabilities multiplied by {shown}")
        unnamed = int((self.predictions["identity"] == "").sum())
        if self.persons and unnamed:
            lines.append(
                f"{unnamed} of {len(self.predictions)} faces are of persons without a name"
            )
        if judged.part.unlabelled:
            lines.append(f"left out: {_faces(judged.part.unlabelled)} without a label")
        lines += [
            f"left out: {_faces(count)} of {name}, which the model does not know"
            for name, count in judged.left_out.items()
        ]
        if judged.seen_before is not None and judged.seen_before.images:
            lines.append(f"left out: {judged.seen_before}")
        empty = [name for name in matching.only_store if name not in judged.left_out]
        if empty:
            lines.append(
                f"the model does not know {', '.join(empty)}, of which the part has no faces"
            )
        if matching.only_model and matching.is_restricted:
            names = ", ".join(matching.only_model)
            lines.append(f"not possible as answers: {names}, which the store lacks (--common)")
        elif matching.only_model:
            answers = self.predictions["predicted"].value_counts()
            named = ", ".join(f"{name} ({answers.get(name, 0)})" for name in matching.only_model)
            lines.append(
                f"the store lacks these classes of the model, which stay possible answers (in "
                f"brackets, how often they were given; --common leaves them out): {named}"
            )
        lines += [f"other settings than in training: {change}" for change in judged.changed]
        if judged.seen.images:
            lines.append(f"flattering: {judged.seen}")
        if judged.seen.copies:
            lines.append(
                f"flattering: {judged.seen.copies} of {judged.seen.of} faces are, pixel by pixel, "
                "among those that the model was trained or validated on, as the data of its "
                "training have them in several parts; a test of those data has them too"
            )
        if judged.seen.unknown:
            lines.append("whom the model was trained on is not known")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """What ``evaluation.json`` says of the store."""
        judged, matching = self.judged, self.judged.matching
        store = judged.store
        levels = {level: result.to_dict() for level, result in self.results.items()}
        confusions = {
            level: {"classes": list(result.classes), "counts": result.confusion.tolist()}
            for level, result in self.results.items()
        }
        intervals = {
            level: {name: list(each) for name, each in found.items()} or None
            for level, found in self.intervals.items()
        }
        return {
            "name": judged.name,
            "folder": str(store.folder.resolve()),
            "database": store.description.database,
            "reader": store.description.reader,
            "content": store.content,
            "part": judged.part.name,
            "part_reason": judged.part.why,
            "faces": len(self.predictions),
            "persons": self.persons,
            **levels,
            "confusion": confusions,
            "calibration": self.calibration.to_dict(),
            "intervals": {
                "percent": LEVEL,
                "draws": self.sampling.draws,
                "seed": self.sampling.seed,
                "units": dict(self.units.counts),
                **intervals,
            },
            "classes": {
                "common": list(matching.shown.values()),
                "answers": list(matching.classes),
                "only_model": list(matching.only_model),
                "only_store": list(matching.only_store),
            },
            "left_out": {
                "unlabelled": judged.part.unlabelled,
                "unknown": judged.left_out,
                "seen": judged.seen_before.to_dict() if judged.seen_before else None,
            },
            "changed": {c.name: {"training": c.old, "here": c.new} for c in judged.changed},
            "people": judged.seen.to_dict(),
            "notes": self.notes(),
        }


def _faces(count: int) -> str:
    return f"{count} face" if count == 1 else f"{count} faces"
