"""By which options of its reader a store was made: kept, told, compared."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ferlit.cli import main
from ferlit.data import ExpressionDataModule
from ferlit.data.databases import DATABASES
from ferlit.data.databases.ferplus import FERPLUS
from ferlit.data.databases.trees.ferplus import write_ferplus
from ferlit.data.databases.trees.folder import write_folder
from ferlit.data.preparation import prepare_store
from ferlit.data.preparation.choices import options_text, other_options, plain_options
from ferlit.data.preparation.summary import print_summary
from ferlit.data.store import DESCRIPTION, Description, Store
from ferlit.errors import DataError
from tests.ferlit.data.written_stores import write_store

SOFT = {"votes": "crossentropy", "own_labels": 0.25}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ferplus") / "csv"
    write_ferplus(root)
    return root


@pytest.fixture(scope="module")
def soft(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("soft") / "store"
    return prepare_store(FERPLUS, root, folder, options=SOFT, progress=False)


def test_a_store_remembers_all_options_of_its_reader(soft: Store) -> None:
    assert soft.description.reader == SOFT
    told = json.loads((soft.folder / DESCRIPTION).read_text())
    assert told["reader"] == SOFT
    assert json.loads((soft.folder / "report.json").read_text())["reader"] == SOFT
    console = Console(record=True, width=200)
    print_summary(soft, console)
    assert "read by votes=crossentropy, own_labels=0.25\n" in console.export_text()


def test_a_data_module_tells_them(soft: Store) -> None:
    data = ExpressionDataModule(store=soft.folder)
    data.setup("test")
    assert f"{soft.folder}; votes=crossentropy, own_labels=0.25): 44 images" in data.summary()


def test_those_that_nobody_chose_are_kept_too(tmp_path: Path) -> None:
    write_folder(tmp_path / "tree")
    pattern = r"(?P<identity>S\d+)_"
    for number, options in enumerate(({}, {"identity": pattern})):
        store = prepare_store(
            DATABASES["folder"],
            tmp_path / "tree",
            tmp_path / f"store{number}",
            options=options,
            landmarks="none",
            progress=False,
        )
        assert store.description.reader == {"identity": options.get("identity", "")}


def test_a_file_among_them_is_kept_by_its_name() -> None:
    chosen = DATABASES["sfew"].with_options({"exclude": Path("/home/me/no_faces.txt")})
    assert plain_options(chosen) == {"exclude": "no_faces.txt"}
    assert plain_options(DATABASES["sfew"]) == {"exclude": None}


def test_every_database_can_remember_its_options() -> None:
    for database in DATABASES.values():
        told = plain_options(database)
        assert json.loads(json.dumps(told)) == told
        assert set(told) == {option.name for option in database.options}
        made = Description(database.name, (), "max", "none", "", 0, reader=told)
        assert other_options(made, database.chosen) == []
        assert other_options(made, {"nothing": 1}) == [f"{database.name} has no option nothing"]


def test_the_store_of_an_earlier_version_opens_and_says_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    store = write_store(tmp_path / "store", "ferplus", splits=("train", "val", "test"))
    path = store.folder / DESCRIPTION
    assert "reader" not in json.loads(path.read_text())
    assert store.description.reader is None
    # As one line it says the same.
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert Store.open(store.folder).description == store.description
    data = ExpressionDataModule(store=store.folder)
    data.setup("test")
    assert "; reader options not known): " in data.summary()
    assert options_text("jaffe", None) == ""  # it has none


def test_what_an_earlier_store_shows_is_compared(tmp_path: Path) -> None:
    made = Description("ferplus", FERPLUS.classes, "max", "none", "", 0, target_rule="probability")
    assert other_options(made, SOFT) == ["training learns probability there, not crossentropy"]
    assert other_options(made, {"votes": "probability"}) == []
    made = Description("folder", ("anger",), "max", "none", "", 0)
    assert other_options(made, {"identity": "(?P<identity>S)"}) == []  # nothing tells


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        ({"votes": "majority"}, "votes=crossentropy there, not majority"),
        ({"own_labels": 0.5}, "own_labels=0.25 there, not 0.5"),
        ({"frames": 3}, "ferplus has no option frames"),
    ],
)
def test_a_data_module_refuses_a_store_of_other_options(
    soft: Store, reader: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DataError, match=f"{soft.folder} was prepared otherwise: {reason}"):
        ExpressionDataModule(store=soft.folder, reader=reader).prepare_data()
    ExpressionDataModule(store=soft.folder, reader={"own_labels": 0.25}).prepare_data()


def test_a_preparation_names_the_options_that_differ(
    root: Path, soft: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["prepare", "--database=ferplus", f"--root={root}", f"--output={soft.folder}"]
    assert main([*given, "--votes=crossentropy", "--own-labels=0.5"]) == 1
    error = capsys.readouterr().err
    assert "made from other files or settings (own_labels=0.25 there, not 0.5)" in error
    assert main(given) == 1
    assert "(votes=crossentropy there, not majority; own_labels=0.25 there, not 0" in (
        capsys.readouterr().err
    )
    assert main([*given, "--votes=crossentropy", "--own-labels=0.25"]) == 0
    assert "read by votes=crossentropy, own_labels=0.25" in capsys.readouterr().out


def test_a_renewed_store_says_how_it_changed(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "store"
    prepare_store(FERPLUS, root, output, progress=False)
    with caplog.at_level(logging.WARNING):
        renewed = prepare_store(FERPLUS, root, output, options=SOFT, replace=True, progress=False)
    assert renewed.description.reader == SOFT
    assert (
        f"{output}: votes=majority there, not crossentropy; own_labels=0.0 there, not 0.25. "
        "It is made again now"
    ) in caplog.text
