"""A network that was trained on several stores as one, used by every command."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.inference.classifiers.metadata import read_metadata
from ferlit.inference.origin import Origin
from ferlit.runs.checkpoints import read_checkpoint
from tests.ferlit.data.written_stores import write_store
from tests.ferlit.training.fits import small_fit, union_of

PEOPLE = ("1", "2", "3", "4", "5", "6", "7")
# Person 7 is in the training part, and person 1 of the other store too in two parts.
SPLITS = ("train", "train", "train", "val", "test", "test", "train")
CLASSES = ("neutral", "anger", "fear")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    folder = tmp_path_factory.mktemp("two")
    own = {"people": PEOPLE, "splits": SPLITS}
    return [
        write_store(folder / "one", "jaffe", classes=CLASSES, **own),
        write_store(folder / "other", "kdef", classes=(*CLASSES[1:], "joy"), seed=1, **own),
    ]


def fit(stores: list[Store], runs: Path, *more: str) -> list[str]:
    options = ("--data.batch_size=12", "--data.store_weights=[1, 2]", "--trainer.max_epochs=2")
    return small_fit("fer2013.yaml", runs, *union_of(stores), *options, *more)


@pytest.fixture(scope="module")
def run(stores: list[Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the official splits."""
    runs = tmp_path_factory.mktemp("official")
    assert main(fit(stores, runs)) == 0
    return runs / "fer2013" / "version_0"


@pytest.fixture(scope="module")
def folded(stores: list[Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By folds over the persons of both."""
    runs = tmp_path_factory.mktemp("folded")
    assert main(fit(stores, runs, "--data.fold=0", "--data.folds=3")) == 0
    return runs / "fer2013" / "version_0"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def best(run: Path) -> Path:
    return run / "checkpoints" / "best.ckpt"


def evaluate(model: Path, stores: list[Store], *more: str) -> int:
    named = [f"--store={store.folder}" for store in stores]
    return main(["evaluate", f"--model={model}", *named, "--bootstrap=0", *more])


def test_an_evaluation_of_each_store_gives_what_the_runs_own_test_counted(
    run: Path, stores: list[Store], tmp_path: Path
) -> None:
    assert evaluate(best(run), stores, f"--output={tmp_path / 'e'}") == 0
    own = read(run / "metrics.json")["stores"]
    found = {each["database"]: each for each in read(tmp_path / "e" / "evaluation.json")["stores"]}
    assert set(found) == set(own) == {"jaffe", "kdef"}
    for name, each in found.items():
        assert each["image"]["correct"] == own[name]["image"]["correct"]
        assert each["image"]["total"] == own[name]["image"]["total"] == 12
        assert each["people"]["images"] == 0
    assert found["jaffe"]["classes"]["only_model"] == ["joy"]
    assert found["kdef"]["classes"]["only_model"] == ["neutral"]


def test_whom_it_was_trained_on_is_refused_by_store(
    run: Path, folded: Path, stores: list[Store], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(best(run), stores, "--part=all") == 1
    error = capsys.readouterr().err
    assert f"{stores[0].folder}: 30 of 42 tested images (5 people) were trained or" in error
    assert "it was trained in the official split of jaffe+kdef, and this store is one" in error
    # Folds over the persons of both are no folds of one of them.
    assert evaluate(best(folded), stores[1:]) == 1
    error = capsys.readouterr().err
    assert "it was trained in fold 0 of 3 of jaffe+kdef, and this store is one of them" in error
    assert main(["test", str(folded), f"--data.store={stores[1].folder}"]) == 1
    assert "`ferlit evaluate --model" in capsys.readouterr().err  # one has not all classes


def test_a_person_whom_a_store_itself_has_in_two_parts_is_not_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a test of that store alone."""
    mixed = ("1", "2", "3", "1", "4")
    own = {"splits": ("train", "train", "val", "test", "test"), "classes": CLASSES}
    stores = [
        write_store(tmp_path / "one", "jaffe", people=("1", "2", "3", "4", "5"), **own),
        _renamed(write_store(tmp_path / "raw", "kdef", people=PEOPLE[:5], seed=1, **own), mixed),
    ]
    assert main(fit(stores, tmp_path)) == 0
    capsys.readouterr()
    model = best(tmp_path / "fer2013" / "version_0")
    assert evaluate(model, stores) == 0
    assert f"{stores[1].folder} itself has them in several parts" in capsys.readouterr().err


def _renamed(store: Store, people: tuple[str, ...]) -> Store:
    from tests.ferlit.inference.crossdata.stores import changed

    names = store.records["identity"].map(dict(zip(PEOPLE, people, strict=False)))
    return Store.open(
        changed(store, store.folder.with_name("mixed"), pixels=0, identity=names.tolist())
    )


@pytest.mark.parametrize("ending", ["safetensors", "onnx", "pt2"])
def test_an_exported_file_names_all_stores_and_recognises(
    run: Path, stores: list[Store], ending: str, tmp_path: Path
) -> None:
    output = tmp_path / f"both.{ending}"
    assert main(["export", f"--checkpoint={best(run)}", f"--output={output}"]) == 0
    card = output.with_name(output.name + ".md").read_text()
    assert "Trained on `jaffe` and `kdef`." in card
    for name, options in (("jaffe", "-"), ("kdef", "reader options not known")):
        assert f"| `{name}` | {options} | none | 42 |" in card
        assert f"\n| `{name}` | research only" in card
    names = ("neutral", "anger", "fear", "joy")
    prior = np.array([4 * 2, 4 * 2 + 8 * 2, 4 * 2 + 8 * 2, 8 * 2]) / 72  # by the weights
    if ending == "safetensors":
        told = read(tmp_path / "both.json")
        assert tuple(told["classes"]) == names
        assert told["prior"] == pytest.approx(prior)
        assert told["databases"] == ["jaffe", "kdef"]
        assert [each["database"] for each in told["stores"]] == ["jaffe", "kdef"]
        # It knows with whom it was trained, as the checkpoint does.
        assert evaluate(output, stores) == 0
        assert evaluate(output, stores, "--part=train") == 1
    else:
        metadata = read_metadata(output)
        assert (metadata.classes, metadata.databases) == (names, ("jaffe", "kdef"))
        assert metadata.prior == pytest.approx(tuple(prior))
        assert evaluate(output, stores) == 0
        assert evaluate(output, stores, "--part=train") == 1
    picture = tmp_path / "face.png"
    cv2.imwrite(str(picture), np.asarray(stores[0].faces[0]))
    table = tmp_path / "found.csv"
    given = ["recognise", f"--model={output}", "--aligned", f"--output={table}", str(picture)]
    assert main(given) == 0
    (found,) = pd.read_csv(table).to_dict("records")
    assert found["label"] in names
    assert sum(found[name] for name in names) == pytest.approx(1, abs=1e-3)


def test_the_stores_of_a_moved_run_are_known_by_its_record(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "fer2013" / "version_0"))
    config = copy / "config.yaml"
    config.write_text(config.read_text().replace("/one", "/gone"))
    assert Origin.of(best(copy)).databases == ("jaffe", "kdef")


@pytest.mark.parametrize("number", [0, 1])
def test_a_temperature_is_fitted_on_the_validation_faces_of_one_of_them(
    run: Path, folded: Path, stores: list[Store], number: int, tmp_path: Path
) -> None:
    store = stores[number]
    for name, origin in (("run", run), ("folded", folded)):
        output = tmp_path / f"{name}.safetensors"
        given = ["export", f"--checkpoint={best(origin)}", f"--output={output}"]
        assert main([*given, f"--temperature={store.folder}"]) == 0
        split = pd.read_csv(origin / "split.csv", dtype=str)
        is_val = (split["split"] == "val") & (split["store"] == store.description.database)
        faces = split.loc[is_val, "images"].astype(int).sum()
        text = f"fitted on {faces} validation faces of {store.description.database}"
        assert text in output.with_name(output.name + ".md").read_text()


def test_a_resumed_run_is_of_the_same_stores(
    run: Path, stores: list[Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "fer2013" / "version_0"))
    more = (f"--ckpt_path={copy / 'checkpoints' / 'last.ckpt'}", "--trainer.max_epochs=3")
    assert main(fit(stores, tmp_path, *more)) == 0
    assert read_checkpoint(copy / "checkpoints" / "last.ckpt")["epoch"] == 2
    capsys.readouterr()
    assert main(fit(stores[:1], tmp_path, *more, "--data.store_weights=null")) == 1
    assert "start a new run from its weights" in capsys.readouterr().err
