"""What a report says without looking into a network: data, accuracies, comparisons, commands."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from ferlit.errors import DataError
from ferlit.evaluation.pooling import pool, summarise
from ferlit.evaluation.report.curves import mean_curve
from ferlit.evaluation.report.published import PAPER_FOLDS, SOURCE, paper_figures
from ferlit.evaluation.report.runs import Run, read_history, within
from ferlit.evaluation.report.study import Study
from ferlit.evaluation.tables import Evaluation
from ferlit.runs.environment import package_version
from ferlit.runs.folder import RunFolder

LEVELS = {"sequence": "by sequence", "image": "by image"}
CURVES = {"train/loss": "training loss", "val/accuracy": "validation accuracy"}
_PACKAGES = ("ferlit", "nmloss", "torch", "lightning")


def facts(study: Study) -> list[tuple[str, str]]:
    """Name and value of what the report is about, for its head."""
    first = study.runs[0]
    tested = pd.concat([run.predictions for run in study.runs]).drop_duplicates("image")
    judged = "test" if first.part == "test" else "validation (its test has no labels)"
    protocol = f"official split, judged by its {judged} part"
    if first.folds:
        done = len({run.tested.fold for run in study.runs})
        protocol = f"{first.folds} subject-independent folds, {done} of them tested here"
    found = f"{len(study.runs)} done"
    for name in ("unfinished", "unreadable", "replaced"):
        count = len(getattr(study, name))
        found += f", {count} {name}" if count else ""
    seeds = sorted({run.tested.seed for run in study.runs})
    data = [("database", first.database), ("protocol", protocol)]
    if not first.split.empty:
        data.append(("train, validation and test", _amount(first.split)))
    counts = {
        "identity": tested.loc[tested["identity"] != "", "identity"].nunique(),
        "sequence": tested.loc[tested["sequence"] != "", "sequence"].nunique(),
    }
    judging = f"{len(tested)} images"
    judging += f", {counts['sequence']} sequences" if counts["sequence"] else ""
    judging += f", {counts['identity']} people" if counts["identity"] else ""
    if first.folds:
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


def results(study: Study) -> dict[str, Any]:
    """Accuracies, confusion matrices and comparisons of the systems, recomputed from predictions.

    Returns:
        ``levels``, ``systems`` (each with its numbers by level), ``comparisons``, ``cautions`` and
        ``paper``: the source of the paper's figures, or why they are not there.
    """
    first = study.runs[0]
    folds = first.folds or 1
    summary = summarise([run.tested for run in study.runs], folds)
    paper, reason = paper_figures(first.database, first.split)
    systems, cautions = [], []
    for name, runs in study.systems.items():
        of_system, pooled = summary["summary"][name], pool([run.tested for run in runs])
        levels = [level for level in LEVELS if level in pooled]
        partly = [seed["seed"] for seed in of_system["seeds"] if not seed["is_complete"]]
        if partly:
            cautions.append(
                f"{name}: not every fold of seed {', '.join(map(str, partly))} is done "
                f"({len(runs)} of {folds * len(of_system['seeds'])} runs): its counts cover a part "
                "of the people, and such seeds are left out of the mean over seeds."
            )
        systems.append(
            {
                "name": name,
                "runs": len(runs),
                "levels": {level: of_system[level] for level in levels},
                "matrices": {level: matrix(pooled[level]) for level in levels},
                "pooled": pooled,
                "paper": paper.get(name),
            }
        )
    if paper and first.folds != PAPER_FOLDS[first.database]:
        theirs, ours = (
            f"{folds} folds" if folds else "the official split"
            for folds in (PAPER_FOLDS[first.database], first.folds)
        )
        cautions.append(f"The paper used {theirs}; these runs use {ours}.")
    if len({len(runs) for runs in study.systems.values()}) > 1:
        cautions.append("The systems have different numbers of runs: compare them pair by pair.")
    cautions += _other_images(study)
    if first.part == "val":
        cautions.append(
            "The validation images judge, on which the epoch was chosen as well: these accuracies "
            "flatter. The paper's figures on SFEW are of the same kind."
        )
    return {
        "levels": levels,
        "systems": systems,
        "comparisons": summary["comparisons"],
        "cautions": cautions,
        "has_paper": bool(paper),
        "paper": f"Paper: {SOURCE}." if paper else reason,
    }


def _other_images(study: Study) -> list[str]:
    """A caution where runs of the same fold were tested on other images, as of another store."""
    images: dict[int | None, set[frozenset[str]]] = {}
    for run in study.runs:
        images.setdefault(run.tested.fold, set()).add(frozenset(run.predictions["image"]))
    folds = [fold for fold, found in images.items() if len(found) > 1]
    if not folds:
        return []
    where = "" if folds == [None] else f" of fold {', '.join(map(str, folds))}"
    return [
        f"The runs{where} were not all tested on the same images (another store, or other persons "
        "in it): the paired comparison takes the images that both have; the rest does not compare."
    ]


def matrix(result: Evaluation) -> list[dict[str, Any]]:
    """A confusion matrix row by row: the class, its counts, and their shares of the row."""
    return [
        {
            "name": name,
            "total": int(total),
            "cells": [
                {"count": int(count), "share": float(share), "is_right": column == place}
                for column, (count, share) in enumerate(zip(counts, row, strict=True))
            ],
        }
        for place, (name, total, counts, row) in enumerate(
            zip(
                result.classes,
                result.confusion.sum(axis=1),
                result.confusion,
                result.shares,
                strict=True,
            )
        )
    ]


def curves(study: Study) -> tuple[dict[str, dict[str, pd.DataFrame]], list[str]]:
    """By quantity and system the training curves; and what could not be read."""
    found: dict[str, dict[str, pd.DataFrame]] = {name: {} for name in CURVES}
    problems = []
    for system, runs in study.systems.items():
        histories = []
        for run in runs:
            try:
                histories.append(read_history(RunFolder(run.folder)))
            except DataError as error:
                problems.append(f"{run.name}: {within(run.folder, error)}")
        for name, by_system in found.items():
            curve = mean_curve(histories, name)
            if not curve.empty:
                by_system[system] = curve
    return {name: by_system for name, by_system in found.items() if by_system}, problems


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


def commands(study: Study) -> list[str]:
    """The command line of every run, where it is known."""
    return [shlex.join(run.command) for run in study.runs if run.command]


def _amount(split: pd.DataFrame) -> str:
    people = split.loc[split["identity"].fillna("") != "", "identity"].nunique()
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
