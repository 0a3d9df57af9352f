"""What Liu et al. 2017 report, and when it may stand beside a result of ours."""

from collections.abc import Mapping

import pandas as pd

from ferlit.data.databases import DATABASES

SOURCE = "Liu et al., CVPR Workshops 2017, Tables 3 and 5"
# Accuracy in per cent: by sequence on CK+ and MMI, by image on SFEW's validation part.
PAPER: Mapping[str, Mapping[str, float]] = {
    "ckplus": {"1b_n1": 93.21, "2b_n1": 94.3, "1b_nm": 96.55, "2b_nm": 97.1},
    "mmi": {"1b_n1": 77.72, "2b_n1": 78.04, "1b_nm": 77.88, "2b_nm": 78.53},
    "sfew": {"1b_n1": 49.77, "2b_n1": 50.75, "1b_nm": 53.36, "2b_nm": 54.19},
}
PAPER_FOLDS = {"ckplus": 8, "mmi": 10, "sfew": None}  # None: the official split
_WHOLE = 0.9  # a copy may lack a few files and still be that database


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
    people = int((split["identity"] != "").sum() and split["identity"].nunique())
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
