"""Accuracies of the systems beside the paper's, recomputed from the predictions."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ferlit.data.databases import DATABASES
from ferlit.evaluation.pooling import PooledResults
from ferlit.report.study import Study

SOURCE = "Liu et al., CVPR Workshops 2017, Tables 3 and 5"
# Accuracy in per cent: by sequence on CK+ and MMI, by image on SFEW's validation part.
PAPER: Mapping[str, Mapping[str, float]] = {
    "ckplus": {"1b_n1": 93.21, "2b_n1": 94.3, "1b_nm": 96.55, "2b_nm": 97.1},
    "mmi": {"1b_n1": 77.72, "2b_n1": 78.04, "1b_nm": 77.88, "2b_nm": 78.53},
    "sfew": {"1b_n1": 49.77, "2b_n1": 50.75, "1b_nm": 53.36, "2b_nm": 54.19},
}
PAPER_FOLDS = {"ckplus": 8, "mmi": 10, "sfew": None}  # None: the official split
_WHOLE = 0.9  # a copy may lack a few files and still be that database


@dataclass(frozen=True)
class Accuracy:
    """The accuracies, the confusion matrices and the comparisons of the systems.

    Args:
        results: Of all runs.
        levels: "sequence" and "image", as far as every system has them.
        cautions: What to keep in mind with these numbers.
        paper: The paper's accuracies, in per cent by system.
        source: Where they are from, or why there are none.
    """

    results: PooledResults
    levels: tuple[str, ...]
    cautions: tuple[str, ...]
    paper: Mapping[str, float]
    source: str


def measure_accuracy(study: Study) -> Accuracy:
    """Everything that the runs' predictions tell of the systems."""
    first = study.runs[0]
    results = PooledResults.of([run.tested for run in study.runs], first.folds or 1)
    paper, reason = paper_figures(first.database, first.split)
    cautions = _incomplete(results, first.folds or 1)
    if paper and first.folds != PAPER_FOLDS[first.database]:
        theirs, ours = (
            f"{folds} folds" if folds else "the official split"
            for folds in (PAPER_FOLDS[first.database], first.folds)
        )
        cautions.append(f"The paper used {theirs}; these runs use {ours}.")
    if len({system.runs for system in results.systems.values()}) > 1:
        cautions.append("The systems have different numbers of runs: compare them pair by pair.")
    cautions += _other_images(study)
    if first.part == "val":
        cautions.append(
            "The validation images judge, on which the epoch was chosen as well: these accuracies "
            "flatter. The paper's figures on SFEW are of the same kind."
        )
    levels = (
        level
        for level in ("sequence", "image")
        if all(level in system.levels for system in results.systems.values())
    )
    source = f"Paper: {SOURCE}." if paper else reason
    return Accuracy(results, tuple(levels), tuple(cautions), paper, source)


def _incomplete(results: PooledResults, folds: int) -> list[str]:
    """A caution for every system with a seed of which some folds are missing."""
    cautions = []
    for name, system in results.systems.items():
        partly = [str(seed.seed) for seed in system.seeds if not seed.is_complete]
        if partly:
            cautions.append(
                f"{name}: not every fold of seed {', '.join(partly)} is done "
                f"({system.runs} of {folds * len(system.seeds)} runs): its counts cover a part "
                "of the people, and such seeds are left out of the mean over seeds."
            )
    return cautions


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


def paper_figures(database: str, split: pd.DataFrame) -> tuple[Mapping[str, float], str]:
    """The paper's accuracies for a database, where our runs are on that database.

    A tree of synthetic people can have the layout, and so the name, of CK+: the counts tell.

    Args:
        database: Name of the database.
        split: ``split.csv`` of a run: images and sequences of each subject, in all parts.

    Returns:
        Per cent by system, and ""; or nothing, and the reason for people.

    >>> paper_figures("synthetic", pd.DataFrame())
    ({}, 'The paper has no results on synthetic.')
    """
    if database not in PAPER:
        return {}, f"The paper has no results on {database}."
    published = DATABASES[database].counts
    assert published is not None  # of those three it is known
    units = int(split[published.unit].sum())
    people = split.loc[split["identity"] != "", "identity"].nunique()
    is_whole = units >= _WHOLE * published.total and people >= _WHOLE * published.subjects
    if is_whole:
        return PAPER[database], ""
    of = f" of {people} people" if published.subjects else ""
    return {}, (
        f"The paper's figures are left out: {units} {published.unit}{of} are not the published "
        f"{database} ({published.total}"
        + (f" of {published.subjects}" if published.subjects else "")
        + ")."
    )
