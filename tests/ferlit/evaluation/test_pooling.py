import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn import metrics as sklearn_metrics

from ferlit.data.records import SequenceRule, record_table
from ferlit.evaluation.pooling import PooledResults, TestedRun
from ferlit.evaluation.results import evaluate_sequences, recognised
from ferlit.evaluation.tables import prediction_table, write_confusions
from ferlit.runs.folder import RunFolder

CLASSES = ["anger", "fear", "sadness"]
FOLDS = 3


def predictions(fold: int, seed: int, sequences: bool = True) -> pd.DataFrame:
    """Three frames each of 4 + fold sequences, no sequence in two folds."""
    rng = np.random.default_rng((fold, seed))
    records = record_table(
        {
            "image": f"{fold}_{s}_{k}.png",
            "expression": CLASSES[s % 3],
            "identity": f"S{fold}",
            "sequence": f"{fold}_{s}" if sequences else "",
        }
        for s in range(4 + fold)
        for k in range(3)
    )
    return prediction_table(records, rng.dirichlet(np.ones(3), size=len(records)), CLASSES)


def run(system: str, seed: int, fold: int, *, sequences: bool = True) -> TestedRun:
    table = predictions(fold, seed + 100 * len(system), sequences)
    return TestedRun(system, seed, fold, tuple(CLASSES), "mean", table, {"seconds": 1.0})


def runs(*systems: str, seeds: int = 3, sequences: bool = True) -> list[TestedRun]:
    return [
        run(system, seed, fold, sequences=sequences)
        for system in systems
        for seed in range(seeds)
        for fold in range(FOLDS)
    ]


def written(members: list[TestedRun]) -> dict[str, Any]:
    """What ``results.json`` says of them."""
    return PooledResults.of(members, FOLDS).to_dict()


def test_the_pooled_figures_match_scikit_learn_on_all_predictions() -> None:
    members = runs("softmax")
    summary = written(members)["summary"]["softmax"]["image"]
    joined = pd.concat([member.predictions for member in members])
    truth = joined["label"], joined["predicted"]
    assert summary["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(*truth))
    assert summary["total"] == len(joined)
    assert summary["correct"] == (joined["label"] == joined["predicted"]).sum()
    assert summary["class_mean"] == pytest.approx(sklearn_metrics.balanced_accuracy_score(*truth))
    assert summary["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(*truth, average="macro"))
    counts = sklearn_metrics.confusion_matrix(*truth, labels=CLASSES)
    assert summary["confusion"] == counts.tolist()
    shares = sklearn_metrics.confusion_matrix(*truth, labels=CLASSES, normalize="true")
    assert np.array(summary["confusion_percent"]) == pytest.approx(100 * shares, abs=0.006)


def test_sequences_pool_as_their_votes_do() -> None:
    members = runs("softmax")
    summary = written(members)["summary"]["softmax"]["sequence"]
    joined = pd.concat([m.predictions.assign(key=f"{m.seed} {m.fold}") for m in members])
    votes = joined.groupby(["key", "sequence"])[CLASSES].mean().idxmax(axis=1)
    labels = joined.groupby(["key", "sequence"])["label"].first()
    assert summary["total"] == len(votes) == 3 * (4 + 5 + 6)
    assert summary["correct"] == (votes == labels).sum()


def test_mean_and_deviation_are_over_seeds_pooled_over_their_folds() -> None:
    members = runs("softmax")
    over_seeds = written(members)["summary"]["softmax"]["image"]["over_seeds"]
    accuracies = []
    for seed in range(3):
        joined = pd.concat([m.predictions for m in members if m.seed == seed])
        accuracies.append(float((joined["label"] == joined["predicted"]).mean()))
    mean = sum(accuracies) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in accuracies) / 2)
    assert over_seeds["mean"] == pytest.approx(mean)
    assert over_seeds["sd"] == pytest.approx(deviation)
    assert over_seeds["seeds"] == 3


def test_a_seed_with_missing_folds_is_pooled_but_not_a_seed_of_the_mean() -> None:
    members = runs("softmax", seeds=2)[:-1]
    summary = written(members)["summary"]["softmax"]
    assert summary["image"]["total"] == sum(len(m.predictions) for m in members)
    assert [seed["is_complete"] for seed in summary["seeds"]] == [True, False]
    first = summary["seeds"][0]["image"]["accuracy"]
    assert summary["image"]["over_seeds"] == {"mean": first, "sd": None, "seeds": 1}


def test_systems_are_paired_by_sequence_over_the_folds_that_both_have() -> None:
    members = runs("softmax", "2b_nm", seeds=1)[:-1]
    results = written(members)
    (comparison,) = results["comparisons"]
    assert comparison["level"] == "sequence"
    assert comparison["over_seeds"]["total"] == 4 + 5
    b = c = 0
    for fold in (0, 1):
        first, second = (m.right for m in members if m.fold == fold)
        b += sum(first[name] and not second[name] for name in first.index)
        c += sum(second[name] and not first[name] for name in first.index)
    assert (comparison["over_seeds"]["b"], comparison["over_seeds"]["c"]) == (b, c)


def test_stills_are_paired_by_image_and_have_no_results_by_sequence() -> None:
    results = written(runs("softmax", "2b_nm", seeds=1, sequences=False))
    assert results["summary"]["softmax"]["sequence"] is None
    assert {row["sequence_accuracy"] for row in results["runs"]} == {None}
    assert results["comparisons"][0]["level"] == "image"
    assert results["comparisons"][0]["over_seeds"]["total"] == 3 * (4 + 5 + 6)


@pytest.mark.parametrize("rule", ["max", "mean"])
def test_what_is_recognised_adds_up_to_the_results_by_sequence(rule: SequenceRule) -> None:
    table = predictions(2, 0)
    expected = evaluate_sequences(table, CLASSES, rule)
    assert expected is not None
    right = recognised(table, CLASSES, rule)
    assert right.sum() == expected.correct
    assert list(right.index) == list(table["sequence"].unique())


def test_predictions_are_read_as_they_were_written(tmp_path: Path) -> None:
    table = predictions(0, 0, sequences=False)
    table.to_csv(tmp_path / "predictions.csv", index=False)
    read = RunFolder(tmp_path).predictions()
    assert (read[CLASSES].to_numpy() == table[CLASSES].to_numpy()).all()
    assert (read["sequence"] == "").all()


def test_nothing_finished_gives_empty_results() -> None:
    expected = {"classes": [], "runs": [], "summary": {}, "comparisons": []}
    assert written([]) == expected


def test_the_results_are_json_and_the_confusion_matrices_are_written(tmp_path: Path) -> None:
    members = runs("softmax", "2b_nm")
    pooled = PooledResults.of(members, FOLDS)
    results = pooled.to_dict()
    assert json.loads(json.dumps(results)) == results
    for system in ("softmax", "2b_nm"):
        write_confusions(system, pooled.systems[system].levels, tmp_path)
        for level in ("image", "sequence"):
            summary = results["summary"][system][level]
            stem = f"confusion_{system}_{level}"
            counts = pd.read_csv(tmp_path / f"{stem}.csv", index_col="actual")
            assert counts.to_numpy().tolist() == summary["confusion"]
            assert list(counts.columns) == list(counts.index) == CLASSES
            shares = pd.read_csv(tmp_path / f"{stem}_percent.csv", index_col="actual")
            assert shares.to_numpy().tolist() == summary["confusion_percent"]
        with Image.open(tmp_path / f"confusion_{system}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 10
