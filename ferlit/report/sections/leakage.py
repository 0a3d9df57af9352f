"""Identity leakage of all runs of a study, pooled by system and features."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferlit.data.records import recordings
from ferlit.errors import DataError
from ferlit.evaluation.leakage import PooledReading, Readings, measure_leakage, pool_readings
from ferlit.report.features import Features, judged_faces
from ferlit.report.runs import Run

PIXELS = "pixels"


@dataclass(frozen=True)
class LeakageRow:
    """A row of the table.

    Args:
        system: Name of the system; "" of the pixels, which need no network.
        features: "EC", "ML" or "pixels".
        runs: How many were measured.
        readings: By question and reader, see `measure_leakage`.
    """

    system: str
    features: str
    runs: int
    readings: Mapping[tuple[str, str], PooledReading]


def leakage_of(run: Run, features: NDArray[np.float32]) -> Readings:
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
) -> tuple[list[LeakageRow], list[str]]:
    """One row for each system and features, and one for the pixels of the same faces.

    Args:
        runs: The runs, as they are measured: a progress bar fits in here.
        features: Of the runs that have some.

    Returns:
        The rows; and what is missing.
    """
    found: dict[tuple[str, str], list[Readings]] = {}
    pixels: dict[tuple[str, ...], Readings] = {}
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
        LeakageRow(system, name, len(members), pool_readings(members))
        for (system, name), members in found.items()
    ]
    return rows, problems


def _pixels(run: Run) -> NDArray[np.float32]:
    faces = judged_faces(run)
    return faces.reshape(len(faces), -1).astype(np.float32)
