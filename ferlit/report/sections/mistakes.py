"""The worst mistakes: wrong, and sure of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError
from ferlit.report.features import judged_faces
from ferlit.report.figures import Illustration, faces_figure
from ferlit.report.runs import Run
from ferlit.report.study import Study

_WORST = 8


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


@dataclass(frozen=True)
class SystemMistakes:
    """What a system recognised wrongly.

    Args:
        system: Its name.
        wrong: Images of all its runs that are wrong.
        total: Of how many.
        shown: The worst, with their faces where the store still has them.
        figure: Those faces, if any.
    """

    system: str
    wrong: int
    total: int
    shown: tuple[tuple[Mistake, NDArray[np.uint8] | None], ...]
    figure: Illustration | None


def find_mistakes(study: Study) -> tuple[list[SystemMistakes], list[str]]:
    """For each system its worst mistakes with their faces; and why pictures are missing."""
    found, problems = [], []
    for system, runs in study.systems.items():
        tables = [run.predictions for run in runs]
        wrong = sum(int((table["label"] != table["predicted"]).sum()) for table in tables)
        worst = worst_mistakes(runs, _WORST)
        faces = {}
        for run in dict.fromkeys(mistake.run for mistake in worst):
            try:
                faces[run] = judged_faces(run)
            except DataError as error:
                problems.append(f"pictures of {run.name}: {error}")
        shown = tuple((m, faces[m.run][m.place] if m.run in faces else None) for m in worst)
        figure = _draw(system, [(m, face) for m, face in shown if face is not None])
        found.append(SystemMistakes(system, wrong, sum(map(len, tables)), shown, figure))
    return found, problems


def _draw(system: str, shown: Sequence[tuple[Mistake, NDArray[np.uint8]]]) -> Illustration | None:
    if not shown:
        return None
    captions = [f"{m.label}, taken for\n{m.predicted} {m.probability:.0%}" for m, _ in shown]
    figure = faces_figure([face for _, face in shown], captions)
    return Illustration(figure, f"mistakes_{system}", f"{system}: the worst mistakes")


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
