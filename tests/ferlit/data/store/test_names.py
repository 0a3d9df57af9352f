"""Classes and stores with names that tables, folders and options have for something else."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data.records import OF_IMAGE, record_table
from ferlit.data.store import Store, open_stores
from ferlit.data.store.together import store_names
from ferlit.errors import DataError, UsageError
from ferlit.evaluation.results import evaluate
from ferlit.evaluation.tables import prediction_table, print_evaluation
from ferlit.inference.crossdata.command import read_stores
from ferlit.inference.recognise.rows import CsvRows
from ferlit.runs.folder import class_columns
from tests.ferlit.data.written_stores import write_store


@pytest.mark.parametrize("name", OF_IMAGE)
def test_a_class_called_like_a_column_is_refused_at_the_opening(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"a class is called '{name}', as a column"):
        write_store(tmp_path / "store", classes=("anger", name))


def test_a_class_called_store_is_one_of_a_store_alone(tmp_path: Path) -> None:
    store = write_store(tmp_path / "one", "csv", classes=("anger", "store"))
    probabilities = np.tile([0.25, 0.75], (len(store.records), 1))
    table = prediction_table(store.records, probabilities, ["anger", "store"])
    assert table["store"].eq(0.75).all()
    assert class_columns(table) == ["anger", "store"]


def test_a_class_called_store_is_refused_where_several_stores_are_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = [
        write_store(tmp_path / "one", "csv", classes=("anger", "store")),
        write_store(tmp_path / "other", "jaffe", classes=("anger", "fear"), seed=1),
    ]
    with pytest.raises(DataError, match=r"one, .*other: a class is called 'store', as a column"):
        open_stores([store.folder for store in stores])
    named = f"--data.store=[{stores[0].folder}, {stores[1].folder}]"
    given = ["fit", "--config=fer2013.yaml", "--data.database=null", "--data.fold=0", named]
    assert main([*given, f"--trainer.logger.save_dir={tmp_path / 'runs'}"]) == 1
    assert "a class is called 'store'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_predictions_keep_their_columns_whatever_the_network() -> None:
    records = record_table([{"image": "a.png", "expression": "anger"}])
    for classes, table in (
        (["anger", "predicted"], records),
        (["anger", "store"], records.assign(store="jaffe")),
    ):
        with pytest.raises(DataError, match=f"a class is called {classes[1]!r}"):
            prediction_table(table, np.array([[0.5, 0.5]]), classes)


def test_two_names_of_one_expression_are_not_learnt_as_two(tmp_path: Path) -> None:
    write_store(tmp_path / "one", "csv", classes=("anger", "Happy"))
    write_store(tmp_path / "other", "jaffe", classes=("anger", "happiness"), seed=1)
    with pytest.raises(DataError, match=r"one has the class 'Happy' and .*other 'happiness'"):
        open_stores([tmp_path / "one", tmp_path / "other"])
    write_store(tmp_path / "third", "kdef", classes=("anger", "joy"), seed=2)
    write_store(tmp_path / "fourth", "sfew", classes=("anger", "Joy"), seed=3)
    with pytest.raises(DataError, match=r"third has the class 'joy' and .*fourth 'Joy'"):
        open_stores([tmp_path / "third", tmp_path / "fourth"])


def test_every_store_has_a_name_of_its_own(tmp_path: Path) -> None:
    databases = ["folder", "folder", "folder_1", "a,b/c"]
    stores = [
        write_store(tmp_path / str(number), database, seed=number)
        for number, database in enumerate(databases)
    ]
    names = store_names(stores)
    assert len(set(names)) == 4
    assert names[2:] == ("folder_1", "a,b/c")
    assert store_names(stores[:2]) == ("folder_1", "folder_2")
    union = open_stores([store.folder for store in stores])
    assert union.records["image"].is_unique
    assert union.records["store"].value_counts().to_dict() == dict.fromkeys(names, 24)


def test_results_by_store_and_class_are_printed_whatever_the_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    classes = ["[red]", "a, b"]
    table = pd.DataFrame(
        {"sequence": "", "label": classes, "predicted": classes} | dict.fromkeys(classes, 0.5)
    )
    results = evaluate(table, classes, "max")
    print_evaluation(results, Console(width=80), {"[bold]/x": results})
    printed = capsys.readouterr().out
    assert "[red]" in printed
    assert "  [bold]/x: image accuracy 100.0%" in printed


def test_a_folder_with_a_comma_is_one_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a,b", "c", "d"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert [str(folder) for folder in read_stores(["a,b,c"])] == ["a,b", "c"]
    assert [str(folder) for folder in read_stores(["c, a,b, d"])] == ["c", "a,b", "d"]
    assert [str(folder) for folder in read_stores(["c,nowhere", "d"])] == ["c", "nowhere", "d"]


def test_a_store_in_such_a_folder_is_evaluated_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_store(tmp_path / "x,y" / "faces [old]", "jaffe")
    store = write_store(tmp_path / "z" / "faces [old]", "kdef", seed=1)
    named = [f"--store={folder}" for folder in sorted(tmp_path.glob("*/*"))]
    output = tmp_path / "evaluation"
    given = ["evaluate", "--model=ferplus", *named, "--bootstrap=0", f"--output={output}"]
    assert main(given) == 0
    assert "x,y/faces [old]" in capsys.readouterr().out
    table = pd.read_csv(output / "table.csv")
    assert table["store"].tolist() == ["x,y/faces [old]", "z/faces [old]"]
    told = json.loads((output / "evaluation.json").read_text())["stores"]
    assert [each["database"] for each in told] == ["jaffe", "kdef"]
    assert Store.open(store.folder).content == told[1]["content"]


def test_rows_of_recognition_have_no_column_twice(tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w") as file:
        with pytest.raises(UsageError, match="a class of the model is called 'face'"):
            CsvRows(file, ["anger", "face"])
        CsvRows(file, ["anger", "image"])
