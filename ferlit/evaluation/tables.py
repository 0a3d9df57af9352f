"""Tables of predictions and of results: printed, written and read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ferlit.data.records import STORE, check_classes
from ferlit.evaluation.results import Evaluation
from ferlit.files import whole_file, write_json
from ferlit.runs.folder import CONFUSION, RESULTS, TESTED


def prediction_table(
    records: pd.DataFrame, probabilities: NDArray[np.floating], classes: list[str]
) -> pd.DataFrame:
    """One row an image: who and what it shows, the predicted class, one probability a class.

    Of several stores that are taken as one, the first column says which the image is of.

    Args:
        records: The n rows of the record table that were predicted.
        probabilities: (n, K).
        classes: Names of the K classes.

    Raises:
        DataError: a class is called like another column.
    """
    check_classes(classes, "the network", several=STORE in records)
    stores = [STORE] if STORE in records else []
    table = records[[*stores, "image", "identity", "sequence"]].reset_index(drop=True)
    table["label"] = records["expression"].to_numpy()
    table["predicted"] = np.array(classes, dtype=object)[probabilities.argmax(axis=1)]
    table[classes] = probabilities
    return table


def print_evaluation(
    results: Mapping[str, Evaluation],
    console: Console,
    stores: Mapping[str, Mapping[str, Evaluation]] | None = None,
) -> None:
    """The accuracies with their counts, and the confusion matrix of the last level.

    Args:
        results: By level.
        console: Where to print.
        stores: By store and level, where several are taken as one.
    """
    for name, levels in {"": results, **(stores or {})}.items():
        for level, result in levels.items():
            console.print(
                (f"  {name}: " if name else "")
                + f"{level} accuracy {result.accuracy:.1%} ({result.correct} of {result.total}), "
                f"class mean {result.class_mean:.1%}, macro F1 {result.macro_f1:.3f}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    level, result = list(results.items())[-1]
    table = Table(title=f"confusion by {level} (rows actual, columns predicted)")
    table.add_column("")
    for name in result.classes:
        table.add_column(Text(name[:2].upper()), justify="right")  # AN CO DI ..., as in the paper
    table.add_column("recall", justify="right")
    for name, row in zip(result.classes, result.confusion, strict=True):
        count = int(row.sum())
        recall = f"{row[result.classes.index(name)] / count:.0%}" if count else "-"
        table.add_row(Text(name), *(str(n) if n else "·" for n in row), recall)
    console.print(table)


def write_evaluation(
    results: Mapping[str, Evaluation],
    predictions: pd.DataFrame,
    folder: Path,
    says: Mapping[str, Any] | None = None,
) -> None:
    """Write the results of a test.

    Args:
        results: "image" and, where there are sequences, "sequence".
        predictions: What `prediction_table` gave.
        folder: Gets ``metrics.json``, ``predictions.csv``, ``confusion.png``, ``confusion.csv``
            (counts by image) and ``confusion_sequences.csv``.
        says: What ``metrics.json`` tells beside the results.
    """
    from ferlit.evaluation.plots import plot_confusion

    folder.mkdir(parents=True, exist_ok=True)
    metrics = {level: result.to_dict() for level, result in results.items()}
    write_json(folder / RESULTS, {**metrics, **(says or {})})
    with whole_file(folder / TESTED) as draft:
        predictions.to_csv(draft, index=False)
    files = {"image": CONFUSION, "sequence": "confusion_sequences.csv"}
    for level, result in results.items():
        result.counts.to_csv(folder / files[level], index_label="actual")
    plot_confusion(results, folder / "confusion.png")


def write_confusions(system: str, results: Mapping[str, Evaluation], folder: Path) -> None:
    """Write the confusion matrices of a system.

    Args:
        system: Its name.
        results: "image" and perhaps "sequence".
        folder: Gets ``confusion_SYSTEM.png``, and for each level
            ``confusion_SYSTEM_LEVEL.csv`` (counts) and ``confusion_SYSTEM_LEVEL_percent.csv``.
    """
    from ferlit.evaluation.plots import plot_confusion

    plot_confusion(results, folder / f"confusion_{system}.png")
    for level, result in results.items():
        stem = f"confusion_{system}_{level}"
        result.counts.to_csv(folder / f"{stem}.csv", index_label="actual")
        result.percentages.to_csv(folder / f"{stem}_percent.csv", index_label="actual")
