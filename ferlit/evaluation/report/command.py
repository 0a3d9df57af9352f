"""``ferlit report``: what the runs below a folder gave, as one page."""

import argparse
from pathlib import Path
from typing import Any

from ferlit.errors import UsageError
from ferlit.evaluation.report.maps import Projection, check_projection


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit report``."""
    given = _parse(command, options)
    if given.output.exists() and not given.output.is_dir():
        raise UsageError(f"--output {given.output}: a file of that name is in the way")
    check_projection(given.map)
    from ferlit.evaluation.report.page import HTML, MARKDOWN

    content = make_report(given.runs, given.output, projection=given.map)
    for name, value in content["facts"]:
        print(f"{name}: {value}")
    for problem in content["problems"]:
        print(f"note: {problem}")
    print(f"report: {given.output / HTML} and {MARKDOWN}")


def make_report(runs: Path, output: Path, *, projection: Projection = "pca") -> dict[str, Any]:
    """Write the report of all runs in a folder and below it.

    Args:
        runs: What ``ferlit crossval`` wrote, any folder with runs below it, or a run.
        output: Folder of ``report.html``, ``report.md`` and the figures; it keeps features for the
            next report.
        projection: Of the maps, "pca" or "umap".

    Returns:
        What the page says.

    Raises:
        DataError: there is no finished run, or the runs do not belong together.
    """
    from rich.console import Console
    from rich.progress import Progress

    from ferlit.evaluation.plots import plot_confusion
    from ferlit.evaluation.report import networks, sections
    from ferlit.evaluation.report.figures import curves_figure
    from ferlit.evaluation.report.page import Picture, write_report
    from ferlit.evaluation.report.study import find_study

    study = find_study(runs)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        features, problems = networks.gather_features(study, output / "features", progress)
        leakage = networks.leakage_section(study, features, progress)
    results = sections.results(study)
    found, no_history = sections.curves(study)
    curves = [
        Picture(
            curves_figure(by_system, sections.CURVES[name], percent=name == "val/accuracy"),
            f"curve_{name.replace('/', '_')}",
            f"{sections.CURVES[name]} of {', '.join(by_system)} over epochs",
        )
        for name, by_system in found.items()
    ]
    maps = networks.map_section(study, features, projection)
    mistakes, no_faces = networks.mistake_section(study)
    notes = [
        f"{kind}: {note.folder}: {note.reason}"
        for kind in ("unfinished", "unreadable", "replaced")
        for note in getattr(study, kind)
    ]
    content: dict[str, Any] = {
        "facts": sections.facts(study),
        "results": results,
        "level_names": sections.LEVELS,
        "classes": list(study.runs[0].tested.classes),
        "curves": curves,
        "maps": maps,
        "projection": projection.upper(),
        "leakage": leakage["rows"],
        "mistakes": mistakes,
        "commands": sections.commands(study),
        "problems": [*notes, *problems, *leakage["problems"], *no_history, *no_faces],
    }
    pictures = [*curves, *(picture for part in maps for picture in part["pictures"])]
    pictures += [part["picture"] for part in mistakes if part["picture"] is not None]
    write_report(content, pictures, output)
    for system in results["systems"]:
        plot_confusion(system["pooled"], output / f"confusion_{system['name']}.png")
    return content


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
