"""Maps of the features: two dimensions, in the colours of expressions and of persons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError, UsageError
from ferlit.report.features import Features
from ferlit.report.figures import Illustration, map_figure
from ferlit.report.runs import Run, read_history
from ferlit.report.study import Study
from ferlit.runs.folder import RunFolder

Projection = Literal["pca", "umap"]
_BRANCHES = {"EC": "EC, last hidden layer", "ML": "ML embedding"}
_COLOURS: Mapping[Literal["label", "identity"], str] = {"label": "expression", "identity": "person"}


@dataclass(frozen=True)
class SystemMaps:
    """The maps of one run of a system.

    Args:
        system: Its name.
        run: Name of the run: that of the best validation accuracy.
        accuracy: That accuracy, where it is known.
        faces: How many are shown.
        people: Of how many people with a name.
        figures: A map for each kind of features, by expression and by person.
    """

    system: str
    run: str
    accuracy: float | None
    faces: int
    people: int
    figures: tuple[Illustration, ...]


def check_projection(name: Projection) -> None:
    """Meet a missing package before anything is computed.

    Raises:
        UsageError: it is not installed.
    """
    if name == "umap":
        try:
            import_module("umap")
        except ImportError:
            raise UsageError(
                "--map umap needs a package that is not installed: pip install umap-learn; "
                "or take --map pca"
            ) from None


def project(features: NDArray[np.floating], name: Projection = "pca") -> NDArray[np.float64]:
    """Features (n, D), n at least 3, as points (n, 2).

    >>> rng = np.random.default_rng(0)
    >>> project(rng.normal(size=(20, 5))).shape
    (20, 2)
    """
    if name == "umap":
        return np.asarray(import_module("umap").UMAP(random_state=0).fit_transform(features))
    from sklearn.decomposition import PCA

    return np.asarray(PCA(2, svd_solver="full").fit_transform(features.astype(np.float64)))


def draw_maps(
    study: Study, features: Mapping[Run, Features], projection: Projection
) -> list[SystemMaps]:
    """For each system the maps of one run, that of the best validation accuracy.

    Args:
        study: The runs.
        features: Of those that have some.
        projection: How to come to two dimensions.
    """
    maps = []
    for system, runs in study.systems.items():
        candidates = [run for run in runs if run in features]
        if not candidates:
            continue
        run, accuracy = best_validated(candidates)
        figures = tuple(
            figure
            for name, values in features[run].by_name().items()
            if len(values) >= 3
            for figure in _maps_of(run, name, project(values, projection))
        )
        people = len(set(run.predictions["identity"]) - {""})
        maps.append(SystemMaps(system, run.name, accuracy, len(run.predictions), people, figures))
    return maps


def _maps_of(run: Run, name: str, points: NDArray[np.float64]) -> list[Illustration]:
    """By expression and, where the faces have names, by person."""
    found = []
    for column, what in _COLOURS.items():
        labels = run.predictions[column].tolist()
        if not any(labels):
            continue
        title = f"{_BRANCHES[name]}, by {what}"
        number = len(set(labels) - {""})
        text = f"{run.system}: {title}, {len(points)} faces of {number} {what}s"
        file = f"map_{run.system}_{name}_{what}".lower()
        found.append(Illustration(map_figure(points, labels, title), file, text))
    return found


def best_validated(runs: Sequence[Run]) -> tuple[Run, float | None]:
    """The run with the highest validation accuracy in any epoch, and that accuracy."""
    best: tuple[Run, float | None] = (runs[0], None)
    for run in runs:
        try:
            accuracy = float(read_history(RunFolder(run.folder))["val/accuracy"].max())
        except (DataError, KeyError):
            continue
        if np.isfinite(accuracy) and (best[1] is None or accuracy > best[1]):
            best = (run, accuracy)
    return best
