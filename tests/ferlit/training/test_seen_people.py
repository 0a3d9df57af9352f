"""Nobody judges a network who has trained it, wherever its checkpoint and the data lie."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.databases.synthetic import drawn_like
from ferlit.data.folds import subject_folds
from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.preparation import prepare_store
from ferlit.data.store import RECORDS, Store
from ferlit.data.store.identities import IDENTITIES
from ferlit.data.store.manifest import write_manifest
from ferlit.runs.people import PEOPLE, Split, Training
from ferlit.runs.seen import count_seen
from tests.ferlit.tiny import TINY
from tests.ferlit.training.fits import fit_options


def softmax_options(store: Path, runs: Path, database: str, *more: str) -> list[str]:
    return [
        "fit",
        "--config=fer2013.yaml",
        f"--data.database={database}",
        f"--data.store={store}",
        "--data.num_workers=0",
        *TINY,
        f"--trainer.logger.save_dir={runs}",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        *more,
    ]


def drawn_store(name: str, folder: Path) -> Store:
    database = drawn_like(DATABASES[name])
    return prepare_store(database, folder / "tree", folder / "store", progress=False)


def write_people(store: Store, person: Callable[[str], str]) -> None:
    images = store.records["image"]
    table = pd.DataFrame({"image": images, "identity": images.map(person)})
    table.to_csv(store.folder / IDENTITIES, index=False)


def evaluations(run: Path, command: str) -> list[Path]:
    return sorted((run / "evaluations").glob(f"{command}_*"))


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store]:
    """A run of fold 0 of 3 on a folder of pictures, whose identities were corrected since."""
    folder = tmp_path_factory.mktemp("corrected")
    store = drawn_store("folder", folder)
    write_people(store, lambda image: "P" + str(sum(image.encode()) % 5))
    more = ("--data.fold=0", "--data.folds=3")
    assert main(softmax_options(store.folder, folder / "runs", "synthetic_folder", *more)) == 0
    write_people(store, lambda image: "Q" + str(len(image) * 7 % 5 + sum(image.encode()) % 3))
    return folder / "runs" / "fer2013" / "version_0", Store.open(store.folder)


@pytest.mark.parametrize("command", ["test", "validate", "fit"])
def test_after_a_correction_of_identities_the_old_network_is_refused(
    corrected: tuple[Path, Store], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, store = corrected
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    checkpoint = run / "checkpoints" / "best.ckpt"
    options = softmax_options(
        store.folder, run.parent.parent, "synthetic_folder", "--data.fold=0", "--data.folds=3"
    )
    assert main([command, *options[1:], f"--ckpt_path={checkpoint}"]) == 1
    errors = capsys.readouterr().err
    assert "whose identities were changed since" in errors
    assert "--allow_seen_people true" in errors
    if command == "test":
        trained = pd.read_csv(run / "predictions.csv")
        here = Training.read(checkpoint).splits[0]
        assert len(here.images["test"]) == len(trained)
        assert " tested images (" in errors
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_refusal_can_be_overridden_and_the_results_say_so(
    corrected: tuple[Path, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = corrected
    assert main(["test", str(run), "--allow_seen_people=true"]) == 0
    (folder,) = evaluations(run, "test")
    says = json.loads((folder / "metrics.json").read_text())["evaluation"]["people"]
    predictions = pd.read_csv(folder / "predictions.csv")
    split = Training.read(run / "checkpoints" / "best.ckpt").splits[0]
    assert says["of"] == len(predictions)
    assert 0 < says["images"] <= says["of"]
    assert says["people"] <= predictions["identity"].nunique()
    assert f"{says['images']} of {says['of']} tested images" in capsys.readouterr().err
    assert len(split.images["train"]) + len(split.images["val"]) > says["images"] // 2


@pytest.mark.parametrize("command", ["test", "validate", "fit"])
def test_a_checkpoint_that_was_copied_away_knows_its_people(
    finished: Path, store: Store, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copy(finished / "checkpoints" / "best.ckpt", tmp_path / "network.ckpt"))
    renamed = Path(shutil.copytree(store.folder, tmp_path / "renamed"))
    options = fit_options(renamed, tmp_path / "runs", f"--ckpt_path={copy}")
    assert main([command, *options[1:], "--data.fold=1", "--trainer.max_epochs=2"]) == 1
    errors = capsys.readouterr().err
    assert "was trained in fold 0 of 4, and the data are those of fold 1 of 4" in errors
    if command == "test":
        assert "36 of 36 tested images (2 people) were trained or validated on" in errors
    if command != "validate":  # of five folds, nobody who trained validates
        assert main([command, *options[1:], "--data.folds=5", "--trainer.max_epochs=2"]) == 1
        assert "fold 0 of 5" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "evaluations").exists()


def test_a_store_prepared_anew_has_the_same_people(
    finished: Path, tree: Path, tmp_path: Path
) -> None:
    again = prepare_store(DATABASES["ckplus"], tree, tmp_path / "again", progress=False)
    copy = Path(shutil.copy(finished / "checkpoints" / "best.ckpt", tmp_path / "network.ckpt"))
    assert main(["test", str(copy), f"--data.store={again.folder}"]) == 0
    (folder,) = evaluations(tmp_path, "test")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["image"] == json.loads((finished / "metrics.json").read_text())["image"]
    assert metrics["evaluation"]["people"]["images"] == 0
    assert metrics["evaluation"]["people"]["unknown"] == []


def test_a_fit_does_not_go_on_with_labels_that_were_changed(
    finished: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(store.folder, tmp_path / "other"))
    records = pd.read_csv(other / RECORDS, dtype=str, keep_default_na=False)
    train = records.index[records["expression"] == "fear"][0]
    records.loc[train, "expression"] = "anger"
    records.to_csv(other / RECORDS, index=False)
    write_manifest(other)
    checkpoint = finished / "checkpoints" / "last.ckpt"
    options = fit_options(other, tmp_path / "runs", f"--ckpt_path={checkpoint}")
    assert main([*options, "--trainer.max_epochs=2"]) == 1
    assert "faces, labels or persons of the store were changed since" in capsys.readouterr().err


def test_rows_without_persons_are_known_by_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = drawn_store("fer2013", tmp_path)
    assert main(softmax_options(store.folder, tmp_path / "runs", "synthetic_fer2013")) == 0
    checkpoint = tmp_path / "runs" / "fer2013" / "version_0" / "checkpoints" / "best.ckpt"
    rows = list(csv.reader((tmp_path / "tree" / "fer2013.csv").open()))
    usage = rows[0].index("Usage")
    moved = 0
    for row in rows[1:]:  # three rows that have trained are to test
        if row[usage] == "Training" and moved < 3:
            row[usage], moved = "PrivateTest", moved + 1
    other = tmp_path / "other"
    other.mkdir()
    with (other / "fer2013.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    database = drawn_like(DATABASES["fer2013"])
    changed = prepare_store(database, other, tmp_path / "other_store", progress=False)
    capsys.readouterr()
    assert main(["test", str(checkpoint), f"--data.store={changed.folder}"]) == 1
    total = len(store.records.query("split == 'test' and expression != ''")) + 3
    assert f"3 of {total} tested images were trained or validated on" in capsys.readouterr().err


def test_pictures_are_known_wherever_they_were_moved_and_whatever_they_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = drawn_store("folder", tmp_path)
    assert main(softmax_options(store.folder, tmp_path / "runs", "synthetic_folder")) == 0
    checkpoint = tmp_path / "runs" / "fer2013" / "version_0" / "checkpoints" / "best.ckpt"
    other = Path(shutil.copytree(tmp_path / "tree", tmp_path / "other"))
    trained = store.records.query("split == 'train' and expression != ''")["image"].tolist()[:3]
    for number, image in enumerate(trained):
        place = other / image.replace("train", "test", 1)
        place.parent.mkdir(parents=True, exist_ok=True)
        (other / image).rename(place.with_name(f"moved_{number}{place.suffix}"))
    database = DATABASES["folder"]  # another name than that of the training
    changed = prepare_store(database, other, tmp_path / "other_store", progress=False)
    capsys.readouterr()
    assert main(["test", str(checkpoint), f"--data.store={changed.folder}"]) == 1
    total = len(store.records.query("split == 'test' and expression != ''")) + 3
    errors = capsys.readouterr().err
    assert f"3 of {total} tested images were trained or validated on" in errors
    assert "shares people or pictures with them" in errors


def test_a_picture_that_a_split_has_twice_is_no_evidence_against_another_database(
    tmp_path: Path,
) -> None:
    store = drawn_store("folder", tmp_path)
    tree = tmp_path / "tree"
    shown = store.records.query("expression != ''").groupby("split")["image"].first()
    twin = tree / shown["test"].replace(Path(shown["test"]).stem, "twin")
    shutil.copy(tree / shown["train"], twin)
    again = prepare_store(DATABASES["folder"], tree, tmp_path / "again", progress=False)
    data = ExpressionDataModule(store=again.folder)
    data.setup("test")
    training = Training((replace(Split.of(data), database="another"),))
    assert count_seen(training, data, "test").images == 0
    assert len(training.splits[0].faces["train"]) == len(training.splits[0].images["train"]) - 1


def test_the_other_edition_of_a_database_shows_the_same_people(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(finished / "split.csv")
    seen = set(table.loc[table["split"] != "test", "identity"])
    checkpoint, refused = finished / "checkpoints" / "best.ckpt", []
    for name in ("synthetic_ck48", "ck48"):
        database = replace(drawn_like(DATABASES["ck48"]), name=name)
        store = prepare_store(database, tmp_path / "tree", tmp_path / name, progress=False)
        fold_of = subject_folds(store.records, 3)
        is_seen = store.records["identity"].isin(seen)
        for fold in range(3):
            options = [f"--data.store={store.folder}", f"--data.fold={fold}", "--data.folds=3"]
            code = main(["test", str(checkpoint), *options])
            count = int((is_seen & (fold_of == fold)).sum())
            assert code == (1 if name == "ck48" and count else 0)
            errors = capsys.readouterr().err
            if code:
                refused.append(fold)
                assert f"{count} of {(fold_of == fold).sum()} tested images (1 people)" in errors
                assert (
                    "it was trained on ckplus, which shares people or pictures with them" in errors
                )
    assert refused, "else this shows nothing"


def test_weights_of_another_fold_start_no_fit(
    finished: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = finished / "checkpoints" / "best.ckpt"
    start = f"--model.init_from={checkpoint}"
    options = fit_options(store.folder, tmp_path, start, "--data.fold=1", "--trainer.max_epochs=1")
    assert main(options) == 1
    errors = capsys.readouterr().err
    assert f"--model.init_from {checkpoint}: in its training, 36 of 36 tested images" in errors
    assert not any(tmp_path.iterdir())
    assert main([*options, "--allow_seen_people=true"]) == 0
    run = tmp_path / "ckplus" / "version_0"
    says = json.loads((run / "metrics.json").read_text())
    assert says["people"]["images"] == says["image"]["total"] == 36
    kept = Training.read(run / "checkpoints" / "best.ckpt")
    assert [split.title for split in kept.splits] == ["fold 1 of 4", "fold 0 of 4"]
    copy = Path(shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "copy.ckpt"))
    options = ["--allow_seen_people=false", f"--data.store={store.folder}"]
    assert main(["test", str(copy), *options]) == 1  # what it began with still counts
    assert "36 of 36 tested images" in capsys.readouterr().err


def test_crossval_refuses_such_weights_before_the_first_fit(
    finished: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(
        store.folder, tmp_path, f"--model.init_from={finished / 'checkpoints' / 'best.ckpt'}"
    )
    options = [option for option in options[1:] if "save_dir" not in option]
    output = tmp_path / "cv"
    assert main(["crossval", *options, f"--output={output}", "--systems=2b_nm", "--seeds=0"]) == 2
    errors = capsys.readouterr().err
    assert [f"fold {fold}: in its training" in errors for fold in range(4)] == [
        False,
        True,
        True,
        True,
    ]
    assert not output.exists()


def test_a_checkpoint_of_an_earlier_version_is_known_by_its_run(
    run_copy: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = run_copy / "checkpoints" / "best.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    del content[PEOPLE], content["configuration"]
    torch.save(content, checkpoint)
    assert main(["test", str(run_copy)]) == 0
    assert main(["test", str(run_copy), "--data.fold=1"]) == 1
    assert "36 of 36 tested images (2 people)" in capsys.readouterr().err
    alone = Path(shutil.copy(checkpoint, tmp_path / "alone.ckpt"))
    options = fit_options(store.folder, tmp_path, f"--ckpt_path={alone}", "--data.fold=1")
    assert main(["test", *options[1:]]) == 0
    assert "cannot be checked that they are other people" in capsys.readouterr().err
    (folder,) = evaluations(tmp_path, "test")
    says = json.loads((folder / "metrics.json").read_text())["evaluation"]
    assert says["people"]["unknown"] == [str(alone)]


def test_a_resumed_fit_keeps_what_it_began_with(
    finished: Path, store: Store, run_copy: Path
) -> None:
    before = Training.read(run_copy / "checkpoints" / "last.ckpt")
    options = fit_options(store.folder, run_copy.parent.parent, "--ckpt_path=last")
    assert main([*options, "--trainer.max_epochs=3"]) == 0
    after = Training.read(run_copy / "checkpoints" / "last.ckpt")
    assert len(before.splits) == len(after.splits) == 1
    assert before.splits[0].is_same(after.splits[0])
    assert after.unknown == ()


def test_a_split_that_has_people_in_several_parts_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = drawn_store("folder", tmp_path)  # with a split of its own, of images
    write_people(store, lambda image: "P" + str(sum(image.encode()) % 5))
    assert main(softmax_options(store.folder, tmp_path / "runs", "synthetic_folder")) == 0
    assert "in its own split," in capsys.readouterr().err
    run = tmp_path / "runs" / "fer2013" / "version_0"
    own = json.loads((run / "metrics.json").read_text())
    assert own["people"]["images"] > 0
    assert main(["test", str(run)]) == 0  # the split of the training is not refused
    (folder,) = evaluations(run, "test")
    again = json.loads((folder / "metrics.json").read_text())
    assert again["evaluation"]["people"] == own["people"]
    assert again["image"] == own["image"]
