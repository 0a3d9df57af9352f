"""The worst mistakes: wrong, and sure of it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ferlit.evaluation.report.runs import Run


class Mistake(NamedTuple):
    """An image that was recognised wrongly.

    Args:
        run: The run that did.
        place: Row of its predictions.
        image: Its name.
        label: What it shows.
        predicted: What was recognised instead.
        probability: Of that.
    """

    run: Run
    place: int
    image: str
    label: str
    predicted: str
    probability: float


def worst_mistakes(runs: Sequence[Run], limit: int) -> list[Mistake]:
    """The wrong images with the highest probabilities, the highest first.

    Frames of a recording are nearly the same picture: only its worst one counts, whatever the
    number of runs that were wrong about it.
    """
    found: dict[str, Mistake] = {}
    for run in runs:
        table = run.predictions
        probabilities = table[list(run.tested.classes)].to_numpy(np.float64).max(axis=1)
        names = table["sequence"].where(table["sequence"] != "", table["image"])
        for place in np.flatnonzero((table["label"] != table["predicted"]).to_numpy()):
            row = table.iloc[place]
            name, probability = str(names.iloc[place]), float(probabilities[place])
            if name not in found or found[name].probability < probability:
                found[name] = Mistake(
                    run, int(place), row["image"], row["label"], row["predicted"], probability
                )
    return sorted(found.values(), key=lambda mistake: -mistake.probability)[:limit]
