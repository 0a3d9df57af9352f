"""Which runs a report finds, what it says of them, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.databases.synthetic import drawn_like
from ferlit.data.preparation import prepare_store
from ferlit.errors import DataError
from ferlit.evaluation.report.sections import commands, facts, results
from ferlit.evaluation.report.study import find_study
from ferlit.evaluation.tables import prediction_table
from tests.ferlit.evaluation.written_runs import write_run, write_study


def test_the_head_tells_protocol_people_and_runs(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    (study / "runs/2b_nm/seed_1/fold_1/run.json").write_text('{"command": []}')
    (study / "runs/2b_nm/seed_1/fold_1/fit.log").write_text("...\nKilled\n\nTesting ━━━ 1/1\n")
    (study / "runs/softmax/seed_0/fold_0/predictions.csv").write_text("image\n")
    found = find_study(study)
    assert [note.reason for note in found.unfinished] == [
        "did not come to its end; the last line of its log: Killed"
    ]
    assert [note.reason for note in found.unreadable] == ["predictions.csv: no column identity"]
    told = dict(facts(found))
    assert told["database"] == "synthetic"
    assert told["protocol"] == "3 subject-independent folds, 3 of them tested here"
    assert told["runs"] == "9 done, 1 unfinished, 1 unreadable"
    assert told["tested on"].startswith("72 images, 36 sequences, 9 people")
    assert commands(found)[0] == "ferlit fit --data.fold=1"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.yaml", "model: [", "config.yaml: cannot be read"),
        ("config.yaml", "model: 1", "config.yaml: no configuration of a run"),
        ("config.yaml", "text", "config.yaml: not a table of options"),
        ("predictions.csv", "", "predictions.csv: cannot be read"),
        (
            "predictions.csv",
            "image,identity,sequence,label,predicted,fear,joy\na,b,c,sadness,fear,0.5,0.5\n",
            "predictions.csv: its labels and its columns",
        ),
        (
            "predictions.csv",
            "image,identity,sequence,label,predicted,fear,joy\na,b,c,fear,fear,0.5,much\n",
            "predictions.csv: cannot be read",
        ),
        ("split.csv", "split,images\ntest,1\n", "split.csv: no column identity"),
        ("metrics.json", "[]", "metrics.json: cannot be read"),
        ("metrics.json", '{"image": {"correct": 1, "total": 1}}', "predictions.csv: "),
    ],
)
def test_a_damaged_file_is_named_and_its_run_left_out(
    tmp_path: Path, name: str, content: str, reason: str
) -> None:
    write_run(tmp_path, fold=0)
    (write_run(tmp_path, fold=1) / name).write_text(content)
    found = find_study(tmp_path)
    assert [run.tested.fold for run in found.runs] == [0]
    assert found.unreadable[0].reason.startswith(reason)


def test_predictions_that_have_changed_since_the_test_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path, fold=0)
    table = write_run(tmp_path, fold=1) / "predictions.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    other = write_run(tmp_path, fold=2) / "predictions.csv"
    rows = pd.read_csv(other)
    rows.loc[0, "label"] = next(
        name
        for name in rows.columns[5:]
        if name != rows["label"][0] and (rows["predicted"][0] in (name, rows["label"][0]))
    )
    rows.to_csv(other, index=False)
    found = find_study(tmp_path)
    assert [run.tested.fold for run in found.runs] == [0]
    assert [note.folder for note in found.unreadable] == [table.parent, other.parent]
    assert f"{len(lines) - 2} images right, and metrics.json says" in found.unreadable[0].reason
    assert "one of them has changed since the test" in found.unreadable[1].reason


@pytest.mark.parametrize("content", ["[]", '{"finished"', "\x00\x00"])
def test_a_damaged_record_is_no_unfinished_run(tmp_path: Path, content: str) -> None:
    write_run(tmp_path, fold=0)
    (write_run(tmp_path, fold=1) / "run.json").write_text(content)
    found = find_study(tmp_path)
    assert found.unfinished == ()
    assert "run.json: " in found.unreadable[0].reason


def test_a_run_without_its_configuration_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, fold=0)
    folder = write_run(tmp_path, fold=1)
    (folder / "checkpoints").mkdir(exist_ok=True)
    (folder / "config.yaml").unlink()
    assert find_study(tmp_path).unfinished[0].reason == "it has no config.yaml"


def test_without_a_finished_run_the_message_tells_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "report"
    assert main(["report", "--runs", str(tmp_path), "--output", str(output)]) == 1
    assert "no finished run with a test in it (0 unfinished" in capsys.readouterr().err
    folder = write_run(tmp_path)
    (folder / "predictions.csv").unlink()
    assert main(["report", "--runs", str(tmp_path), "--output", str(output)]) == 1
    assert f"{folder}: not tested: its split has no test data" in capsys.readouterr().err
    assert main(["report", "--runs", str(tmp_path / "no"), "--output", str(output)]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["report", "--runs", str(folder), "--output", str(folder / "run.json")]) == 2
    assert "a file of that name is in the way" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("change", [{"folds": 5}, {"database": "mmi"}, {"fold": None}])
def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    write_run(tmp_path, at="runs/a/version_0")
    write_run(tmp_path, **{"at": "runs/b/version_0", **change})
    with pytest.raises(DataError, match="cannot be compared") as refused:
        find_study(tmp_path)
    suggested = Path(str(refused.value).rpartition("--runs ")[2])
    assert suggested == tmp_path / "runs" / "a"
    assert len(find_study(suggested).runs) == 1
    assert len(find_study(tmp_path / "runs/b").runs) == 1


def test_of_a_chain_of_stages_one_is_suggested(tmp_path: Path) -> None:
    for number, database in enumerate(("fer2013", "multipie", "ckplus"), 1):
        write_run(tmp_path, at=f"stages/{number}_{database}", database=database)
    with pytest.raises(DataError, match="cannot be compared") as refused:
        find_study(tmp_path)
    suggested = Path(str(refused.value).rpartition("--runs ")[2])
    assert suggested.parent == tmp_path / "stages"
    assert len(find_study(suggested).runs) == 1


def test_runs_of_other_expressions_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, at="runs/a/version_0")
    table = write_run(tmp_path, fold=1, at="runs/b/version_0") / "predictions.csv"
    table.write_text(table.read_text().replace("sadness", "disgust"))
    with pytest.raises(DataError, match=r"3 classes \(anger, fear, disgust\), 3 folds: 1 run"):
        find_study(tmp_path)


def test_what_wandb_keeps_in_a_run_is_no_run(tmp_path: Path) -> None:
    files = write_run(tmp_path) / "wandb" / "run-20260101_000000-a1b2c3d4" / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text("wandb_version: 1\n")
    found = find_study(tmp_path)
    assert (len(found.runs), found.unfinished, found.unreadable) == (1, (), ())


def test_of_two_runs_of_the_same_the_newer_counts(tmp_path: Path) -> None:
    old, new = (
        write_run(tmp_path, at="runs/x/version_1"),
        write_run(tmp_path, at="runs/x/version_0"),
    )
    record = json.loads((new / "run.json").read_text())
    (new / "run.json").write_text(json.dumps(record | {"started": "2026-02-01"}))
    found = find_study(tmp_path)
    assert [run.folder for run in found.runs] == [new]
    assert found.replaced[0].folder == old


def test_where_the_test_has_no_labels_the_validation_part_judges(tmp_path: Path) -> None:
    database = drawn_like(DATABASES["sfew"])
    store = prepare_store(database, tmp_path / "tree", tmp_path / "store", progress=False)
    classes = list(store.description.classes)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), size=len(store.records))
    run = tmp_path / "runs" / "version_0"
    run.mkdir(parents=True)
    table = prediction_table(store.records, probabilities, classes)
    table.to_csv(run / "predictions_all.csv", index=False)
    data = {"init_args": {"store": str(store.folder), "fold": None}}
    config = {"model": {"class_path": "ferlit.training.ExpressionModule"}, "data": data}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (run / "run.json").write_text('{"finished": "now"}')
    found = find_study(tmp_path / "runs")
    judged = store.records.loc[store.records["split"] == "val", "image"]
    assert found.runs[0].predictions["image"].tolist() == judged.tolist()
    assert results(found)["levels"] == ["image"]
    assert "flatter" in " ".join(results(found)["cautions"])
    assert "validation" in dict(facts(found))["protocol"]
