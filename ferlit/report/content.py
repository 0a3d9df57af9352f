"""What a report says: its head, its sections, and how to repeat the runs."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.progress import Progress

from ferlit.data.preparation.choices import options_text
from ferlit.report.features import gather_features
from ferlit.report.figures import Illustration
from ferlit.report.runs import Run
from ferlit.report.sections.accuracy import Accuracy, measure_accuracy
from ferlit.report.sections.curves import curve_figures
from ferlit.report.sections.leakage import LeakageRow, leakage_table
from ferlit.report.sections.maps import Projection, SystemMaps, draw_maps
from ferlit.report.sections.mistakes import SystemMistakes, find_mistakes
from ferlit.report.study import Study
from ferlit.runs.environment import package_version

_PACKAGES = ("ferlit", "nmloss", "torch", "lightning")


@dataclass(frozen=True)
class Report:
    """What the templates show.

    Args:
        facts: Name and value of what the report is about.
        accuracy: Accuracies, confusion matrices and comparisons.
        curves: Training curves, a figure a quantity.
        maps: Of the features, of the systems that have some.
        projection: Of the maps.
        leakage: How well the features give persons away.
        mistakes: The worst of each system.
        commands: Those that made the runs.
        problems: What is left out, and why.
    """

    facts: tuple[tuple[str, str], ...]
    accuracy: Accuracy
    curves: tuple[Illustration, ...]
    maps: tuple[SystemMaps, ...]
    projection: Projection
    leakage: tuple[LeakageRow, ...]
    mistakes: tuple[SystemMistakes, ...]
    commands: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def figures(self) -> list[Illustration]:
        """All of them."""
        of_maps = [figure for part in self.maps for figure in part.figures]
        of_mistakes = [part.figure for part in self.mistakes if part.figure is not None]
        return [*self.curves, *of_maps, *of_mistakes]


def gather_report(study: Study, cache: Path, projection: Projection, progress: Progress) -> Report:
    """Compute all sections.

    Args:
        study: The runs.
        cache: Folder that keeps features.
        projection: Of the maps.
        progress: Shows how far it is.
    """
    features, no_features = gather_features(study, cache, progress)
    measured = progress.track(study.runs, description="identity leakage")
    leakage, no_leakage = leakage_table(measured, features)
    curves, no_history = curve_figures(study)
    mistakes, no_faces = find_mistakes(study)
    notes = [
        f"{kind}: {note.folder}: {note.reason}"
        for kind, found in study.left_out.items()
        for note in found
    ]
    return Report(
        facts=tuple(facts(study)),
        accuracy=measure_accuracy(study),
        curves=tuple(curves),
        maps=tuple(draw_maps(study, features, projection)),
        projection=projection,
        leakage=tuple(leakage),
        mistakes=tuple(mistakes),
        commands=tuple(commands(study)),
        problems=(*notes, *no_features, *no_leakage, *no_history, *no_faces),
    )


def facts(study: Study) -> list[tuple[str, str]]:
    """Name and value of what the report is about, for its head."""
    first = study.runs[0]
    tested = pd.concat([run.predictions for run in study.runs]).drop_duplicates("image")
    judged = "test" if first.part == "test" else "validation (its test has no labels)"
    protocol = f"official split, judged by its {judged} part"
    if first.folds:
        done = len({run.tested.fold for run in study.runs})
        kind = "folds by image" if first.folds_by == "image" else "subject-independent folds"
        protocol = f"{first.folds} {kind}, {done} of them tested here"
    found = f"{len(study.runs)} done"
    for name, notes in study.left_out.items():
        found += f", {len(notes)} {name}" if notes else ""
    seeds = sorted({run.tested.seed for run in study.runs})
    data = [("database", first.database), ("protocol", protocol)]
    options = _reader_options(first.record.get("store") or {})
    if options:
        data.insert(1, ("read by", options))
    if not first.split.empty:
        data.append(("train, validation and test", _amount(first.split)))
    counts = {
        "identity": tested.loc[tested["identity"] != "", "identity"].nunique(),
        "sequence": tested.loc[tested["sequence"] != "", "sequence"].nunique(),
    }
    judging = f"{len(tested)} images"
    judging += f", {counts['sequence']} sequences" if counts["sequence"] else ""
    judging += f", {counts['identity']} people" if counts["identity"] else ""
    if first.folds and first.folds_by == "identity":
        judging += "; each person by networks that were not trained on that person"
    return [
        *data,
        ("tested on", judging),
        ("systems", ", ".join(study.systems)),
        ("seeds", ", ".join(map(str, seeds))),
        ("runs", found),
        ("trained with", _versions(study.runs)),
        ("report", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, ferlit {package_version('ferlit')}"),
    ]


def _reader_options(store: Mapping[str, Any]) -> str:
    """By which options the store of a run was read, or each of several, where it is recorded."""
    each = store.get("stores") or [store]
    told = [
        (one["database"], options_text(one["database"], one["reader"]))
        for one in each
        if "reader" in one
    ]
    return "; ".join(text if len(each) == 1 else f"{name}: {text}" for name, text in told if text)


def commands(study: Study) -> list[str]:
    """The command line of every run, where it is known."""
    return [shlex.join(run.command) for run in study.runs if run.command]


def _amount(split: pd.DataFrame) -> str:
    people = split.loc[split["identity"] != "", "identity"].nunique()
    has_sequences = (split["sequences"] > 1).any()  # stills count as one
    text = f"{split['images'].sum()} images"
    text += f", {split['sequences'].sum()} sequences" if has_sequences else ""
    return text + (f", {people} people" if people else "")


def _versions(runs: Sequence[Run]) -> str:
    found = {
        tuple(f"{name} {packages[name]}" for name in _PACKAGES if packages.get(name))
        for packages in (run.record.get("packages") or {} for run in runs)
    }
    named = sorted(", ".join(versions) for versions in found if versions)
    return "; or ".join(named) if named else "not recorded"
