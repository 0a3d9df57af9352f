"""Identity leakage of all runs of a study, pooled by system and features."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.records import recordings
from ferlit.errors import DataError
from ferlit.evaluation.report.features import Features, judged_faces
from ferlit.evaluation.report.leakage import Reading, measure_leakage
from ferlit.evaluation.report.runs import Run

PIXELS = "pixels"
_Readings = dict[tuple[str, str], Reading]


def leakage_of(run: Run, features: NDArray[np.float32]) -> _Readings:
    """`measure_leakage` of the faces that judge a run; empty where they name too few persons.

    Args:
        run: The run.
        features: (n, D) of its faces, in the order of its predictions.
    """
    table = run.predictions
    return measure_leakage(
        features,
        table["identity"].to_numpy(object),
        table["label"].to_numpy(object),
        recordings(table),
    )


def leakage_table(
    runs: Iterable[Run], features: Mapping[Run, Features]
) -> tuple[list[dict[str, Any]], list[str]]:
    """One row for each system and features, and one for the pixels of the same faces.

    Args:
        runs: The runs, as they are measured: a progress bar fits in here.
        features: Of the runs that have some.

    Returns:
        Rows of ``system``, ``features``, ``runs`` and by question and reader the counts pooled over
        runs, with mean and standard deviation over runs; and what is missing.
    """
    found: dict[tuple[str, str], list[_Readings]] = {}
    pixels: dict[tuple[str, ...], _Readings] = {}
    problems = []
    for run in runs:
        if run not in features:
            continue
        for name, values in features[run].by_name().items():
            readings = leakage_of(run, values)
            if readings:
                found.setdefault((run.system, name), []).append(readings)
            elif name == "EC":
                problems.append(f"{run.name}: fewer than two known persons with two recordings")
        faces = tuple(run.predictions["image"])
        if faces not in pixels:  # systems and seeds share the faces of a fold
            try:
                pixels[faces] = leakage_of(run, _pixels(run))
            except DataError as error:
                problems.append(f"pixels of {run.name}: {error}")
                pixels[faces] = {}
    known = [readings for readings in pixels.values() if readings]
    if known and found:
        found[("", PIXELS)] = known
    rows = [
        {"system": system, "features": name, "runs": len(members), **pool_readings(members)}
        for (system, name), members in found.items()
    ]
    return rows, problems


def _pixels(run: Run) -> NDArray[np.float32]:
    faces = judged_faces(run)
    return faces.reshape(len(faces), -1).astype(np.float32)


def pool_readings(members: list[_Readings]) -> dict[str, dict[str, Any]]:
    """Sums of the counts, mean and standard deviation of the accuracies.

    >>> one, two = Reading(1, 4, 0.5), Reading(3, 4, 1.5)
    >>> pool_readings([{("person", "nearest"): one}, {("person", "nearest"): two}])
    {'person_nearest': {'correct': 4, 'total': 8, 'accuracy': 0.5, 'chance': 0.25, 'mean': 0.5,
    'deviation': 0.35...}}
    """
    pooled = {}
    for question, reader in members[0]:
        readings = [member[question, reader] for member in members]
        table = pd.DataFrame(readings).sum()
        accuracies = [reading.accuracy for reading in readings]
        pooled[f"{question}_{reader}"] = {
            "correct": int(table["correct"]),
            "total": int(table["total"]),
            "accuracy": float(table["correct"] / table["total"]),
            "chance": float(table["expected"] / table["total"]),
            "mean": float(np.mean(accuracies)),
            "deviation": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        }
    return pooled
