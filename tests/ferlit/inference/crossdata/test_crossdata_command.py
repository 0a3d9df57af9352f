"""Whole matrices by the command line; each fit in them is a process."""

import json
import shutil
import signal
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data.folds import subject_folds
from ferlit.data.store import Store
from ferlit.evaluation.results import evaluate_images
from tests.ferlit.inference.crossdata.stores import changed
from tests.ferlit.inference.evaluate.conftest import drawn_store
from tests.ferlit.tiny import TINY
from tests.ferlit.training.crossval.test_crossval_command import (
    finish,
    finished_at,
    start,
    wait_until,
)

FOLDS = 3


def options(output: Path, *stores: Path, more: tuple[str, ...] = ()) -> list[str]:
    return [
        "crossdata",
        "--config=fer2013.yaml",
        f"--stores={','.join(map(str, stores))}",
        f"--output={output}",
        "--data.num_workers=0",
        *TINY,
        "--model.optimizer.lr=0.03",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        "--bootstrap=100",
        *more,
    ]


def read_cells(folder: Path) -> dict[tuple[str, str], Any]:
    results = json.loads((folder / "results.json").read_text())
    return {(cell["trained"], cell["tested"]): cell for cell in results["cells"]}


def predictions(folder: Path, trained: str, seed: int, tested: str) -> pd.DataFrame:
    (found,) = folder.glob(
        f"runs/{trained}/seed_{seed}/*/evaluations/{tested}/stores/{tested}/predictions.csv"
    )
    return pd.read_csv(found, keep_default_na=False)


@pytest.fixture(scope="module")
def fer(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Seven classes, an official split, no persons, no landmarks."""
    return drawn_store("fer2013", tmp_path_factory.mktemp("fer"))


@pytest.fixture(scope="module")
def parts(store: Store) -> dict[str, str]:
    """An official split of the eight people of CK+ that is not that of the folds.

    Its test has one of fold 0's test and one whom fold 0 trains with.
    """
    fold_of = subject_folds(store.records, FOLDS)
    people = [
        sorted(set(store.records["identity"][fold_of == fold].tolist())) for fold in range(FOLDS)
    ]
    tested, validated, trained = people
    split = dict.fromkeys(store.records["identity"], "train")
    return split | {tested[0]: "test", trained[0]: "test", validated[0]: "val"}


@pytest.fixture(scope="module")
def moved(store: Store, parts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The same people as those of the CK+ store, other pixels, another split."""
    folder = tmp_path_factory.mktemp("moved") / "moved"
    split = store.records["identity"].map(parts).tolist()
    return Store.open(changed(store, folder, split=split))


@pytest.fixture(scope="module")
def stores(fer: Store, store: Store, moved: Store) -> tuple[Path, ...]:
    return fer.folder, store.folder, moved.folder


MORE = (f"--data.folds={FOLDS}", "--seeds=0,1", "--jobs=2")


@pytest.fixture(scope="module")
def whole(stores: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three stores, two seeds: six networks, nine cells."""
    folder = tmp_path_factory.mktemp("crossdata") / "whole"
    code, output, errors = finish(options(folder, *stores, more=MORE))
    assert code == 0, errors
    (folder / "printed.txt").write_text(output)
    (folder / "errors.txt").write_text(errors)
    return folder


def test_the_diagonal_is_what_the_runs_own_tests_gave(whole: Path) -> None:
    cells = read_cells(whole)
    for name in ("fer2013", "ckplus", "moved"):
        for entry in cells[name, name]["runs"]:
            (run,) = whole.glob(f"runs/{name}/seed_{entry['seed']}/*")
            metrics = json.loads((run / "metrics.json").read_text())
            assert entry["image"] == metrics["image"]
            assert entry["sequence"] == metrics.get("sequence")
            assert entry["people"]["images"] == 0
    assert {cells["ckplus", "ckplus"]["runs"][0]["part"]} == {f"fold 0 of {FOLDS}"}
    assert {cells["moved", "moved"]["runs"][0]["part"]} == {"test"}


@pytest.mark.parametrize(("trained", "tested"), [("fer2013", "moved"), ("moved", "fer2013")])
def test_a_cell_is_what_ferlit_evaluate_gives_of_each_network(
    whole: Path, fer: Store, moved: Store, tmp_path: Path, trained: str, tested: str
) -> None:
    store = {"fer2013": fer, "moved": moved}[tested]
    cell, correct = read_cells(whole)[trained, tested], 0
    for entry in cell["runs"]:
        output = tmp_path / str(entry["seed"])
        run = whole / "runs" / trained / f"seed_{entry['seed']}" / "official_split"
        command = ["evaluate", f"--model={run}", f"--store={store.folder}", "--bootstrap=100"]
        assert main([*command, f"--output={output}"]) == 0
        (says,) = json.loads((output / "evaluation.json").read_text())["stores"]
        assert entry["image"] == says["image"]
        assert entry["sequence"] == says.get("sequence")
        own = json.loads((run / "evaluations" / tested / "evaluation.json").read_text())
        assert own["stores"][0]["intervals"] == says["intervals"]
        correct += says["image"]["correct"]
    assert cell["image"]["correct"] == correct
    assert cell["image"]["total"] == 2 * cell["runs"][0]["image"]["total"]


def test_mean_and_spread_are_those_of_the_seeds(whole: Path) -> None:
    for key, cell in read_cells(whole).items():
        assert [entry["seed"] for entry in cell["runs"]] == [0, 1]
        for figure in ("accuracy", "class_mean", "macro_f1"):
            values = [entry["image"][figure] for entry in cell["runs"]]
            found = cell["image"]["over_seeds"][figure]
            assert found["mean"] == pytest.approx(statistics.fmean(values)), key
            assert found["sd"] == pytest.approx(statistics.stdev(values)), key
        intervals = cell["image"]["intervals"]
        if set(key) == {"ckplus", "moved"}:  # one person is left
            assert "accuracy" not in intervals
            assert cell["notes"][0] == "no intervals: they are not defined for 1 person"
            continue
        low, high = intervals["accuracy"]
        assert low <= cell["image"]["accuracy"] <= high


def test_the_matrix_as_json_table_and_picture_says_the_same(whole: Path) -> None:
    results, cells = json.loads((whole / "results.json").read_text()), read_cells(whole)
    names = results["names"]
    assert names == ["fer2013", "ckplus", "moved"]
    table = pd.read_csv(whole / "matrix.csv").set_index(["trained", "tested"])
    printed = (whole / "printed.txt").read_text()
    for row, trained in enumerate(names):
        for column, tested in enumerate(names):
            image = cells[trained, tested]["image"]
            for figure in ("accuracy", "class_mean", "correct", "total"):
                assert results[figure][row][column] == image[figure]
                assert table.loc[(trained, tested), figure] == pytest.approx(image[figure])
            assert f"({image['correct']} of {image['total']})" in printed
            confusion = np.array(image["confusion"])
            assert (int(np.trace(confusion)), int(confusion.sum())) == (
                image["correct"],
                image["total"],
            )
    assert (whole / "matrix.png").stat().st_size > 5000
    assert "± the standard deviation over 2 seeds" in printed


def test_people_that_a_network_has_seen_are_left_out_by_count(
    whole: Path, store: Store, moved: Store, parts: dict[str, str]
) -> None:
    cells = read_cells(whole)
    fold_of = subject_folds(store.records, FOLDS)
    labelled = store.records[store.is_labelled]
    in_test = set(store.records["identity"][fold_of == 0])
    tested = {name for name, part in parts.items() if part == "test"}
    for trained, other, judges, seen in (
        ("ckplus", "moved", tested, tested - in_test),
        ("moved", "ckplus", in_test, in_test - tested),
    ):
        assert seen
        assert judges - seen
        images = int(labelled["identity"].isin(seen).sum())
        total = int(labelled["identity"].isin(judges).sum())
        for entry in cells[trained, other]["runs"]:
            left = entry["left_out"]["seen"]
            assert (left["images"], left["people"], left["of"]) == (images, len(seen), total)
            assert entry["image"]["total"] == total - images
            table = predictions(whole, trained, entry["seed"], other)
            assert set(table["identity"]) == judges - seen
        text = f"{images} of {total} faces ({len(seen)} people) that the network"
        assert f"*{trained} on {other}: left out: {text}" in (whole / "printed.txt").read_text()
        fold = "fold 0" if trained == "ckplus" else "official split"
        told = f"{trained} ({fold}) on {other}: {images} of {total} tested images"
        assert told in (whole / "errors.txt").read_text()
    assert cells["fer2013", "moved"]["runs"][0]["left_out"]["seen"]["images"] == 0


def test_classes_that_one_side_lacks_are_said(whole: Path, fer: Store) -> None:
    cells, printed = read_cells(whole), (whole / "printed.txt").read_text()
    expression = fer.records["expression"][fer.records["split"] == "test"]
    neutral = int((expression == "neutral").sum())
    cell = cells["ckplus", "fer2013"]
    assert cell["runs"][0]["left_out"]["unknown"] == {"neutral": neutral}
    faces = "1 face" if neutral == 1 else f"{neutral} faces"
    note = f"left out: {faces} of neutral, which the network does not know"
    assert note in cell["notes"]
    assert f"ckplus on fer2013: {note}" in printed
    assert "fer2013 on ckplus: the store lacks neutral, which stayed possible answers" in printed


def test_what_is_finished_is_left_alone(
    whole: Path, stores: tuple[Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    before, results = finished_at(whole), (whole / "results.json").read_bytes()
    assert len(before) == 6
    assert main(options(whole, *stores, more=(*MORE, "--data.num_workers=1"))) == 0
    assert finished_at(whole) == before
    assert (whole / "results.json").read_bytes() == results
    assert "6 of 6 networks are trained and tested already" in capsys.readouterr().out


def test_a_test_that_is_gone_is_made_anew_without_a_fit(
    whole: Path, stores: tuple[Path, ...], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "folder"))
    place = folder / "runs" / "moved" / "seed_1" / "official_split" / "evaluations"
    (place / "ckplus" / "stores" / "ckplus" / "reliability.png").unlink()  # written last
    shutil.rmtree(place / "fer2013")
    before = finished_at(folder)
    assert main(options(folder, *stores, more=MORE)) == 0
    assert finished_at(folder) == before
    assert (folder / "results.json").read_bytes() == (whole / "results.json").read_bytes()


def test_interrupted_it_goes_on_to_the_same_results(
    whole: Path, fer: Store, moved: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    command = options(folder, fer.folder, moved.folder)
    process = start(command)
    wait_until(lambda: any(folder.glob("runs/moved/*/*/checkpoints/last.ckpt")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted; to go on:\n  ferlit crossdata --config=fer2013.yaml" in errors
    before = finished_at(folder)
    assert list(before) == ["runs/fer2013/seed_0/official_split"]
    results = json.loads((folder / "results.json").read_text())
    assert results["accuracy"][1] == [None, None]

    code, output, errors = finish(command)
    assert code == 0, errors
    assert "1 of 2 networks are trained and tested already" in output
    assert before.items() <= finished_at(folder).items()
    cells, expected = read_cells(folder), read_cells(whole)
    assert len(cells) == 4
    for key, cell in cells.items():
        assert cell["runs"] == expected[key]["runs"][:1]
    assert not list(folder.rglob("last.ckpt"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--trainer.max_epochs=3", "  trainer.max_epochs: 2 there, 3 now\n"),
        ("--model.optimizer.lr=0.1", "optimizer.init_args.lr: 0.03 there, 0.1 now\n"),
        ("--fold=1", "ckplus: fold 0 of 3 there, fold 1 of 3 now\n"),
        ("--split=folds", "moved: official split there, fold 0 of 3 now\n"),
        ("--common", "--common: False there, True now\n"),
        ("--bootstrap=200", "--bootstrap: 100 there, 200 now\n"),
        ("--allow_seen_people=true", "--allow_seen_people: False there, True now\n"),
        ("--stores={fer},{store}", "--stores: moved there, not now\n"),
        ("--stores={fer},{store},{other}", "moved: another store, or other persons in it\n"),
    ],
)
def test_other_settings_are_refused_by_name(
    whole: Path,
    stores: tuple[Path, ...],
    moved: Store,
    tmp_path: Path,
    more: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = {path: path.read_bytes() for path in whole.glob("*.json")}
    places = {"fer": stores[0], "store": stores[1]}
    if "{other}" in more:
        people = [f"{name}x" for name in moved.records["identity"]]
        places["other"] = changed(moved, tmp_path / "moved", identity=people)
    given = stores
    if more.startswith("--split"):  # else fer2013, which names nobody, cannot be split
        given = (stores[1], stores[2])
    if more.startswith("--stores"):
        given = ()
    command = [each for each in options(whole, *given, more=MORE) if each != "--stores="]
    assert main([*command, more.format(**places)]) == 2
    assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in whole.glob("*.json")} == before


def test_seen_people_stay_where_that_is_asked_for(
    whole: Path, stores: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "folder"))
    settings = json.loads((folder / "crossdata.json").read_text())
    settings["judging"]["allow_seen_people"] = True  # the fits are the same
    (folder / "crossdata.json").write_text(json.dumps(settings))
    for place in folder.glob("runs/*/*/*/evaluations"):
        shutil.rmtree(place)
    assert main(options(folder, *stores, more=(*MORE, "--allow_seen_people=true"))) == 0
    entry = read_cells(folder)["ckplus", "moved"]["runs"][0]
    left = read_cells(whole)["ckplus", "moved"]["runs"][0]["left_out"]["seen"]
    assert entry["people"]["images"] == left["images"]
    assert entry["image"]["total"] == left["of"]
    assert "*ckplus on moved: flattering: " in capsys.readouterr().out


def test_a_fit_that_fails_leaves_the_others_and_is_tried_again(
    whole: Path, stores: tuple[Path, ...], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "folder"))
    run = folder / "runs" / "fer2013" / "seed_1" / "official_split"
    shutil.rmtree(run)
    run.mkdir()
    (run / "checkpoints").write_text("a file where the checkpoints should go")
    code, output, errors = finish(options(folder, *stores, more=MORE))
    assert code == 1
    assert "1 of 6 runs failed" in errors
    assert "fer2013 seed 1 official split, exit code 1; the end of" in errors
    assert "fer2013 on moved: 1 of 2 networks" in output
    cells, expected = read_cells(folder), read_cells(whole)
    assert [entry["seed"] for entry in cells["fer2013", "moved"]["runs"]] == [0]
    assert cells["moved", "fer2013"] == expected["moved", "fer2013"]
    (run / "checkpoints").unlink()
    code, _, errors = finish(options(folder, *stores, more=MORE))
    assert code == 0, errors
    assert read_cells(folder) == expected


def test_all_folds_of_a_store_judge_each_face_once(
    fer: Store, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FERLIT_TRUST")  # who trains with classes of his own trusts them
    folder = tmp_path / "out"
    more = ("--fold=all", f"--data.folds={FOLDS}", "--jobs=2")
    assert main(options(folder, fer.folder, store.folder, more=more)) == 0
    cells = read_cells(folder)
    own = cells["ckplus", "ckplus"]
    assert [entry["part"] for entry in own["runs"]] == [f"fold {k} of 3" for k in range(FOLDS)]
    runs = [folder / f"runs/ckplus/seed_0/fold_{fold}" for fold in range(FOLDS)]
    joined = pd.concat(
        [pd.read_csv(run / "predictions.csv", keep_default_na=False) for run in runs]
    )
    labelled = store.records[store.is_labelled]
    assert sorted(joined["image"]) == sorted(labelled["image"])
    expected = evaluate_images(joined, list(store.description.classes))
    assert own["image"]["confusion"] == expected.confusion.tolist()
    assert own["sequence"]["total"] == labelled["sequence"].nunique()
    known = labelled["expression"] != "contempt"
    assert cells["fer2013", "ckplus"]["image"]["total"] == int(known.sum())
    assert own["image"]["intervals"]["units"] == {"person": 8, "recording": 0, "image": 0}
    assert cells["fer2013", "ckplus"]["runs"][0]["part"] == "all 3 folds"
    # Three networks on each of its faces, but those of neutral.
    one = cells["ckplus", "fer2013"]["runs"][0]["image"]["total"]
    assert cells["ckplus", "fer2013"]["image"]["total"] == FOLDS * one


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--stores={fer}"], 2, "name at least two"),
        (["--stores={fer},{fer}/../{name}"], 2, "is there twice"),
        (["--stores={fer},{copy}"], 2, "a copy of"),
        (["--stores={fer},no_such"], 1, "no_such: no prepared store"),
        (["--stores={fer},{nameless}"], 1, "it has no official split, so it is split by folds: "),
        (["--stores={fer},{half}"], 1, "no labelled val and test part, so it is split by folds: "),
        (["--stores={fer},{foreign}"], 1, "no class in common"),
        (["--stores={store},{inside}"], 1, "or their persons, are among those that train"),
        (["--stores={fer},{edition},{store}"], 1, "on edition: all 27 tested faces, or their"),
        (["--stores={fer},{store}", "--split=folds"], 1, "--split folds, so it is split by folds"),
        (["--stores={fer},{store}", "--fold=3"], 2, "fold=3: the folds are numbered 0 to 2"),
        (["--stores={fer},{store}", "--fold=-1"], 2, "--fold -1: give different rounds from 0"),
        (["--stores={fer},{store}", "--data.folds=9"], 1, "8 subjects"),
        (["--stores={fer},{moved}", "--fold=0"], 2, "--data.folds: every store has an official"),
        (["--seeds=1,1"], 2, "--seeds '1,1'"),
        (["--jobs=0"], 2, "--jobs 0: at least 1"),
        (["--bootstrap=5"], 2, "--bootstrap 5: from 100 to 100,000 draws"),
        (["--data.store=x"], 2, "--data.store is not for crossdata: give --stores"),
        (["--data.init_args.fold=1"], 2, "--data.fold is not for crossdata: give --fold"),
        (["--data.reader.votes=all"], 2, "the stores are prepared already"),
        (["--seed_everything=3"], 2, "--seed_everything is not for crossdata: give --seeds"),
        (["--checkpoint.filename=top"], 2, "checkpoint.filename are not for crossdata"),
        (["--config=no_such.yaml"], 2, "no configuration no_such.yaml"),
        (["--trainer.no_such=1"], 2, "the options do not fit the store fer2013: "),
        (["--config=ckplus.yaml"], 1, "does not name the persons, and tuples need them"),
        (["--output={copy}/store.json"], 2, "a file of that name is in the way"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(
    fer: Store,
    store: Store,
    moved: Store,
    tmp_path: Path,
    more: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    split = fer.records["split"]
    fold_of = subject_folds(store.records, FOLDS)
    places: dict[str, Any] = {
        "fer": fer.folder,
        "name": fer.folder.name,
        "store": store.folder,
        "moved": moved.folder,
    }
    text = " ".join(more)
    if "{copy}" in text:
        places["copy"] = shutil.copytree(fer.folder, tmp_path / "copy")
    if "{nameless}" in text:
        places["nameless"] = changed(fer, tmp_path / "nameless", split="")
    if "{half}" in text:
        half = split.where(split == "train", "").tolist()
        places["half"] = changed(fer, tmp_path / "half", split=half)
    if "{foreign}" in text:
        places["foreign"] = with_other_classes(store, tmp_path / "foreign")
    if "{inside}" in text:  # who tests there trains or validates in fold 0
        inside = np.where(fold_of == 0, "train", np.where(fold_of == 1, "val", "test")).tolist()
        places["inside"] = changed(store, tmp_path / "inside", split=inside)
    if "{edition}" in text:  # of the same pictures by another name, what trains there tests here
        places["edition"] = edition(fer, tmp_path / "edition")
    output = tmp_path / "out"
    command = options(output, fer.folder, store.folder, more=(f"--data.folds={FOLDS}",))
    if "--stores" in text:
        command = [each for each in command if not each.startswith("--stores")]
    before = sorted(tmp_path.iterdir())
    try:
        found = main([*command, *(option.format(**places) for option in more)])
    except SystemExit as stop:
        found = int(stop.code or 0)
    assert message in capsys.readouterr().err
    assert found == code
    assert sorted(tmp_path.iterdir()) == before


def with_other_classes(store: Store, folder: Path) -> Path:
    """With expressions that no other store has."""
    names = [f"mood {number}" for number in range(len(store.description.classes))]
    other = dict(zip(store.description.classes, names, strict=True)) | {"": ""}
    shown = [other[name] for name in store.records["expression"]]
    return changed(store, folder, {"classes": names}, expression=shown)


def edition(store: Store, folder: Path) -> Path:
    """The same pixels as another database, whose training and test parts are exchanged."""
    other = {"train": "test", "test": "train", "val": "val"}
    split = [other[part] for part in store.records["split"]]
    _, first, counts = np.unique(store.face_hashes, return_inverse=True, return_counts=True)
    split = ["val" if count > 1 else part for part, count in zip(split, counts[first], strict=True)]
    return changed(store, folder, {"database": "another"}, pixels=0, split=split)


def test_no_configuration_or_no_store_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for given, missing in (("--stores=a,b", "--config"), ("--config=fer2013.yaml", "--stores")):
        with pytest.raises(SystemExit) as stop:
            main(["crossdata", given, "--output=out"])
        assert stop.value.code == 2
        assert f"the following arguments are required: {missing}" in capsys.readouterr().err
