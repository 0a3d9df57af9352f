import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from sklearn import metrics as sklearn_metrics

from ferlit.data.records import SequenceRule, record_table
from ferlit.evaluation.results import evaluate_images, evaluate_sequences
from ferlit.evaluation.tables import prediction_table, print_evaluation, write_evaluation

CLASSES = ["anger", "fear", "sadness", "surprise"]


def predictions(sequences: bool = True) -> pd.DataFrame:
    """Three frames each of 15 sequences; nobody shows surprise."""
    rng = np.random.default_rng(0)
    records = record_table(
        {
            "image": f"{s}_{k}.png",
            "expression": CLASSES[s % 3],
            "identity": f"S{s % 5}",
            "sequence": f"seq{s}" if sequences else "",
        }
        for s in range(15)
        for k in range(3)
    )
    return prediction_table(records, rng.dirichlet(np.ones(4), size=45), CLASSES)


def test_the_results_by_image_match_scikit_learn() -> None:
    table = predictions()
    result = evaluate_images(table, CLASSES)
    truth = (table["label"], table["predicted"])
    expected = sklearn_metrics.confusion_matrix(*truth, labels=CLASSES)
    np.testing.assert_array_equal(result.confusion, expected)
    assert result.accuracy == pytest.approx(sklearn_metrics.accuracy_score(*truth))
    present = sklearn_metrics.recall_score(*truth, labels=CLASSES[:3], average="macro")
    assert result.class_mean == pytest.approx(present)
    assert result.macro_f1 == pytest.approx(sklearn_metrics.f1_score(*truth, average="macro"))
    assert (result.correct, result.total) == (np.trace(expected), 45)


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_the_results_by_sequence_match_pandas(rule: SequenceRule) -> None:
    table = predictions()
    result = evaluate_sequences(table, CLASSES, rule)
    votes = table.groupby("sequence")[CLASSES].agg(rule).idxmax(axis=1)
    labels = table.groupby("sequence")["label"].first()
    assert result is not None
    assert result.total == 15
    assert result.correct == (votes == labels).sum()


def test_stills_have_no_results_by_sequence() -> None:
    assert evaluate_sequences(predictions(sequences=False), CLASSES, "max") is None


def test_everything_is_written_and_printed_with_counts(tmp_path: Path) -> None:
    table = predictions()
    by_sequence = evaluate_sequences(table, CLASSES, "max")
    assert by_sequence is not None
    results = {"image": evaluate_images(table, CLASSES), "sequence": by_sequence}
    write_evaluation(results, table, tmp_path / "run")
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["image"]["correct"] == results["image"].correct
    assert written["sequence"]["total"] == 15
    for level, name in (("image", "confusion.csv"), ("sequence", "confusion_sequences.csv")):
        confusion = pd.read_csv(tmp_path / "run" / name, index_col="actual")
        assert list(confusion.columns) == list(confusion.index) == CLASSES
        np.testing.assert_array_equal(confusion.to_numpy(), results[level].confusion)
    read = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert list(read.columns) == ["image", "identity", "sequence", "label", "predicted", *CLASSES]
    with Image.open(tmp_path / "run" / "confusion.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10
    output = io.StringIO()
    print_evaluation(results, Console(file=output, width=100))
    assert f"({by_sequence.correct} of 15)" in output.getvalue()
