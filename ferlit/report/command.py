"""``ferlit report``: what the runs below a folder gave, as one page."""

import argparse
from pathlib import Path

from ferlit.errors import UsageError


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit report``."""
    given = _parse(command, options)
    if given.output.exists() and not given.output.is_dir():
        raise UsageError(f"--output {given.output}: a file of that name is in the way")
    from ferlit.report.page import HTML, MARKDOWN, make_report
    from ferlit.report.sections.maps import check_projection

    check_projection(given.map)
    report = make_report(given.runs, given.output, projection=given.map)
    for name, value in report.facts:
        print(f"{name}: {value}")
    for problem in report.problems:
        print(f"note: {problem}")
    print(f"report: {given.output / HTML} and {MARKDOWN}")


def _parse(command: str, options: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="One page about all runs of a folder: accuracies beside the paper's, confusion "
        "matrices, training curves, maps of the features, how well they give persons away, the "
        "worst mistakes, and the commands that made the runs. Everything is recomputed from the "
        "predictions and the checkpoints of the runs.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--runs",
        required=True,
        type=Path,
        metavar="DIR",
        help="what ferlit crossval wrote, any folder with runs below it, or a run",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="gets report.html (one file that needs no other), report.md and its figures",
    )
    parser.add_argument(
        "--map",
        choices=("pca", "umap"),
        default="pca",
        help="how features come to two dimensions; umap needs the package umap-learn",
    )
    return parser.parse_args(options)
