"""What a report says by looking into the networks: maps, identity leakage, pictures of mistakes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich.progress import Progress

from ferlit.errors import DataError
from ferlit.evaluation.report.features import Features, judged_faces, read_features
from ferlit.evaluation.report.figures import faces_figure, map_figure
from ferlit.evaluation.report.identity import leakage_table
from ferlit.evaluation.report.maps import Projection, project
from ferlit.evaluation.report.mistakes import worst_mistakes
from ferlit.evaluation.report.page import Picture
from ferlit.evaluation.report.runs import Run
from ferlit.evaluation.report.sections import best_validated
from ferlit.evaluation.report.study import Study

_WORST = 8
_NAMES: Mapping[str, str] = {"EC": "EC, last hidden layer", "ML": "ML embedding"}


def gather_features(
    study: Study, cache: Path, progress: Progress
) -> tuple[dict[Run, Features], list[str]]:
    """The features of every run that still has its checkpoint and store; and why others lack them.

    Args:
        study: The runs.
        cache: Folder that keeps features.
        progress: Shows how far it is.
    """
    found, problems = {}, []
    for run in progress.track(study.runs, description="features"):
        try:
            found[run] = read_features(run, cache)
        except DataError as error:
            problems.append(f"{run.name}: {error}")
    return found, problems


def leakage_section(
    study: Study, features: Mapping[Run, Features], progress: Progress
) -> dict[str, Any]:
    """``rows`` and ``problems`` of the table of identity leakage."""
    runs = progress.track(study.runs, description="identity leakage")
    rows, problems = leakage_table(runs, features)
    return {"rows": rows, "problems": problems}


def map_section(
    study: Study, features: Mapping[Run, Features], projection: Projection
) -> list[dict[str, Any]]:
    """For each system the maps of one run, that of the best validation accuracy.

    Args:
        study: The runs.
        features: Of those that have some.
        projection: How to come to two dimensions.
    """
    sections = []
    for system, runs in study.systems.items():
        candidates = [run for run in runs if run in features]
        if not candidates:
            continue
        run, accuracy = best_validated(candidates)
        pictures = []
        for name, values in features[run].by_name().items():
            if len(values) < 3:
                continue
            points = project(values, projection)
            columns: tuple[tuple[Literal["label", "identity"], str], ...] = (
                ("label", "expression"),
                ("identity", "person"),
            )
            for column, what in columns:
                labels = run.predictions[column].tolist()
                if not any(labels):
                    continue
                title = f"{_NAMES[name]}, by {what}"
                figure = map_figure(points, labels, title)
                text = (
                    f"{system}: {title}, {len(points)} faces of {len(set(labels) - {''})} {what}s"
                )
                pictures.append(Picture(figure, f"map_{system}_{name}_{what}".lower(), text))
        sections.append(
            {
                "system": system,
                "run": run.name,
                "accuracy": accuracy,
                "faces": len(run.predictions),
                "people": len(set(run.predictions["identity"]) - {""}),
                "pictures": pictures,
            }
        )
    return sections


def mistake_section(study: Study) -> tuple[list[dict[str, Any]], list[str]]:
    """For each system its worst mistakes with their faces; and why pictures are missing."""
    sections, problems = [], []
    for system, runs in study.systems.items():
        wrong = sum(
            (run.predictions["label"] != run.predictions["predicted"]).sum() for run in runs
        )
        total = sum(len(run.predictions) for run in runs)
        worst = worst_mistakes(runs, _WORST)
        faces = {}
        for run in {mistake.run for mistake in worst}:
            try:
                faces[run] = judged_faces(run)
            except DataError as error:
                problems.append(f"pictures of {run.name}: {error}")
        shown = [(m, faces[m.run][m.place] if m.run in faces else None) for m in worst]
        with_face = [(m, face) for m, face in shown if face is not None]
        picture = None
        if with_face:
            captions = [
                f"{m.label}, taken for\n{m.predicted} {m.probability:.0%}" for m, _ in with_face
            ]
            figure = faces_figure([face for _, face in with_face], captions)
            picture = Picture(figure, f"mistakes_{system}", f"{system}: the worst mistakes")
        sections.append(
            {
                "system": system,
                "wrong": int(wrong),
                "total": total,
                "shown": shown,
                "picture": picture,
            }
        )
    return sections, problems
