"""What a report makes of the numbers of its runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferlit.report.features import Features
from ferlit.report.runs import Run, read_history
from ferlit.report.sections.accuracy import PAPER, measure_accuracy, paper_figures
from ferlit.report.sections.curves import curves
from ferlit.report.sections.maps import best_validated, draw_maps
from ferlit.report.sections.mistakes import worst_mistakes
from ferlit.report.study import find_study
from ferlit.runs.folder import RunFolder
from tests.ferlit.report.written_runs import CLASSES, FOLDS, predictions, write_run, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def test_accuracies_are_those_of_all_predictions_together(study: Path) -> None:
    found = find_study(study)
    assert list(found.systems) == ["softmax", "2b_nm"]  # the order of the paper
    systems = measure_accuracy(found).results.systems
    softmax, other = systems["softmax"], systems["2b_nm"]
    assert list(systems) == ["softmax", "2b_nm"]
    tables = [predictions(fold, seed) for seed in (0, 1) for fold in range(FOLDS)]
    right = [(table["label"] == table["predicted"]).sum() for table in tables]
    image, over_seeds = softmax.levels["image"], softmax.over_seeds("image")
    assert (image.correct, image.total) == (sum(right), 6 * 24)
    seeds = [sum(right[:3]) / 72, sum(right[3:]) / 72]
    assert over_seeds.mean == pytest.approx(np.mean(seeds))
    assert over_seeds.sd == pytest.approx(np.std(seeds, ddof=1))
    votes = [table.groupby("sequence")[CLASSES].max().idxmax(axis=1) for table in tables]
    truth = [table.groupby("sequence")["label"].first() for table in tables]
    sequence = softmax.levels["sequence"]
    hits = sum((vote == label).sum() for vote, label in zip(votes, truth, strict=True))
    assert (sequence.correct, sequence.total) == (hits, 6 * 12)
    assert other.levels["image"].total == 5 * 24
    assert other.over_seeds("image").number == 1  # the complete one


def test_what_is_incomplete_is_said(study: Path) -> None:
    cautions = " ".join(measure_accuracy(find_study(study)).cautions)
    assert "2b_nm: not every fold of seed 1 is done (5 of 6 runs)" in cautions
    assert "different numbers of runs" in cautions


def test_the_papers_figures_stand_beside_the_published_database_alone() -> None:
    people = [f"S{number:03}" for number in range(118)]
    sequences = [3] * 91 + [2] * 27
    whole = pd.DataFrame(
        {"identity": people, "sequences": sequences, "images": [3 * n for n in sequences]}
    )
    assert whole["sequences"].sum() == 327
    assert paper_figures("ckplus", whole) == (PAPER["ckplus"], "")
    drawn, reason = paper_figures("ckplus", whole.head(24))
    assert not drawn
    assert "72 sequences of 24 people are not the published ckplus (327 of 118)" in reason
    assert paper_figures("synthetic", whole)[0] == {}


def test_curves_are_means_over_runs_and_the_best_run_is_the_validated_one(study: Path) -> None:
    (study / "runs/2b_nm/seed_0/fold_0/metrics.csv").unlink()
    found = find_study(study)
    by_name, problems = curves(found)
    loss = by_name["train/loss"]["softmax"]
    assert loss["mean"].tolist() == [2.5, 1]  # seeds 0 and 1 begin at 2 and 3
    assert loss["deviation"].tolist() == pytest.approx([np.std([2, 2, 2, 3, 3, 3], ddof=1), 0])
    assert by_name["val/accuracy"]["2b_nm"]["runs"].tolist() == [4, 4]
    assert problems == [
        "2b_nm, seed 0, fold 0: metrics.csv: cannot be read ([Errno 2] No such file or directory: "
        f"'{study}/runs/2b_nm/seed_0/fold_0/metrics.csv')"
    ]
    assert read_history(RunFolder(found.runs[0].folder))["train/loss"].to_dict() == {1: 2, 2: 1}
    run, accuracy = best_validated(found.systems["softmax"])
    assert (run.tested.seed, accuracy) == (1, 0.6)


def test_the_worst_mistakes_are_one_a_recording(study: Path) -> None:
    runs: list[Run] = find_study(study).systems["softmax"]
    every = pd.concat([predictions(run.tested.fold or 0, run.tested.seed) for run in runs])
    wrong = every[every["label"] != every["predicted"]]
    worst = wrong.assign(p=wrong[CLASSES].max(axis=1)).groupby("sequence")["p"].max()
    found = worst_mistakes(runs, limit=8)
    expected = worst.sort_values(ascending=False).head(8)
    assert [mistake.probability for mistake in found] == pytest.approx(expected.tolist())
    assert all(mistake.label != mistake.predicted for mistake in found)
    first = found[0]
    assert first.run.predictions["image"][first.place] == first.image


def test_runs_of_a_fold_that_were_tested_on_other_images_are_told(study: Path) -> None:
    assert "same images" not in " ".join(measure_accuracy(find_study(study)).cautions)
    table = study / "runs/2b_nm/seed_0/fold_1/predictions.csv"
    table.write_text(table.read_text().replace("1/0_0.png", "1/9_0.png"))
    cautions = measure_accuracy(find_study(study)).cautions
    assert any("of fold 1 were not all tested on the same images" in text for text in cautions)


def test_faces_without_a_name_are_no_person_of_a_map(tmp_path: Path) -> None:
    table = write_run(tmp_path) / "predictions.csv"
    table.write_text(table.read_text().replace(",000,", ",,"))
    found = find_study(tmp_path)
    features = Features(np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32), None)
    (section,) = draw_maps(found, {found.runs[0]: features}, "pca")
    assert section.people == 2
    assert section.figures[1].text.endswith("by person, 24 faces of 2 persons")


def test_another_number_of_folds_than_the_papers_is_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path, database="ckplus")
    split = pd.DataFrame({"split": "train", "identity": [f"S{n}" for n in range(118)]})
    split.assign(images=9, sequences=3).to_csv(folder / "split.csv", index=False)
    found = measure_accuracy(find_study(tmp_path))
    assert found.paper
    assert "The paper used 8 folds; these runs use 3 folds." in found.cautions
