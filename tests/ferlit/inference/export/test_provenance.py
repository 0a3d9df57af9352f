"""What the files of an exported network say of the stores that it was trained on."""

import json
from pathlib import Path

import pytest

from ferlit.cli import main
from ferlit.data.databases.ferplus import FERPLUS
from ferlit.data.databases.trees.ferplus import write_ferplus
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.inference.classifiers.metadata import read_metadata
from ferlit.inference.origin import Origin
from tests.ferlit.training.fits import small_fit

SOFT = {"votes": "crossentropy", "own_labels": 0.25}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("ferplus")
    write_ferplus(folder / "tree")
    return prepare_store(FERPLUS, folder / "tree", folder / "s", options=SOFT, progress=False)


def options(store: Store, runs: Path, *more: str) -> list[str]:
    own = (f"--data.store={store.folder}", "--trainer.max_epochs=1")
    return small_fit("ferplus.yaml", runs, *own, *more)


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    assert main(options(store, runs, "--data.reader.votes=crossentropy")) == 0
    return runs / "ferplus" / "version_0"


def test_a_run_records_by_which_options_its_store_was_read(run: Path, store: Store) -> None:
    record = json.loads((run / "run.json").read_text())["store"]
    assert (record["reader"], record["landmarks"]) == (SOFT, "none")


def test_options_that_the_store_was_not_made_by_are_told_by_name(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(store, tmp_path, "--data.reader.votes=probability")) == 2
    error = capsys.readouterr().err
    assert "is prepared already (votes=crossentropy there, not probability), so nothing" in error
    assert not list(tmp_path.iterdir())
    # Those of a configuration give way to the store that the command line names.
    assert main(options(store, tmp_path, "--trainer.fast_dev_run=true")) == 0
    error = capsys.readouterr().err
    assert "'votes': 'majority'" in error
    assert "(votes=crossentropy there, not majority)" in error


def test_every_exported_file_and_card_names_them(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = run / "checkpoints" / "best.ckpt"
    row = "| `ferplus` | votes=crossentropy, own_labels=0.25 | none | 44 |"
    for name in ("a.onnx", "a.pt2", "a.safetensors"):
        output = tmp_path / name
        assert main(["export", f"--checkpoint={checkpoint}", f"--output={output}"]) == 0
        assert row in output.with_name(f"{name}.md").read_text()
    told = {"database": "ferplus", "reader": SOFT, "landmarks": "none", "images": 44}
    assert read_metadata(tmp_path / "a.onnx").stores == (told,)
    assert read_metadata(tmp_path / "a.pt2").stores == (told,)
    assert json.loads((tmp_path / "a.json").read_text())["stores"] == [told]
    # And what is exported from that again.
    again = tmp_path / "b.onnx"
    shared = tmp_path / "a.safetensors"
    assert main(["export", f"--checkpoint={shared}", f"--output={again}"]) == 0
    assert row in again.with_name("b.onnx.md").read_text()


def test_a_run_of_an_earlier_version_says_what_its_store_says(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(run, tmp_path / "ferplus" / "version_0"))
    record = json.loads((copy / "run.json").read_text())
    del record["store"]["reader"], record["store"]["landmarks"]
    (copy / "run.json").write_text(json.dumps(record))
    (told,) = Origin.of(copy / "checkpoints" / "best.ckpt").stores
    assert (told["reader"], told["landmarks"]) == (SOFT, "none")
    record["store"]["fingerprint"] = "that of another store"
    (copy / "run.json").write_text(json.dumps(record))
    (told,) = Origin.of(copy / "checkpoints" / "best.ckpt").stores
    assert told["reader"] is None


def test_a_report_names_them(run: Path, tmp_path: Path) -> None:
    assert main(["report", f"--runs={run.parent}", f"--output={tmp_path / 'page'}"]) == 0
    page = (tmp_path / "page" / "report.md").read_text()
    assert "votes=crossentropy, own_labels=0.25" in page
