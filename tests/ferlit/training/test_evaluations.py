"""Evaluations of a finished run: they need nothing else, and leave its own results alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.databases.synthetic import drawn_like
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from tests.ferlit.training.fits import fit_options

RESULTS = ("metrics.json", "confusion.csv", "predictions.csv", "config.yaml", "metrics.csv")


def content(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in RESULTS}


def metrics(folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return values


def evaluations(run: Path) -> list[Path]:
    return sorted((run / "evaluations").iterdir())


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
@pytest.mark.parametrize("kind", ["folder", "checkpoint"])
def test_a_run_needs_no_configuration(
    run_copy: Path, store: Store, tmp_path: Path, command: str, kind: str
) -> None:
    place = run_copy if kind == "folder" else run_copy / "checkpoints" / "last.ckpt"
    before = content(run_copy)
    assert main([command, str(place)]) == 0
    assert content(run_copy) == before
    assert [path.name for path in run_copy.parent.iterdir()] == ["version_0"]
    if command == "predict":
        (path,) = run_copy.rglob("predictions_all.csv")
        assert (path.parent == run_copy) == (kind == "folder")
        assert len(pd.read_csv(path)) == len(store.records)
        return
    (folder,) = evaluations(run_copy)
    says = metrics(folder)
    name = "best" if kind == "folder" else "last"
    assert says["evaluation"]["checkpoint"] == str(run_copy / "checkpoints" / f"{name}.ckpt")
    assert says["evaluation"]["changed"] == {}
    if command == "test" and kind == "folder":
        assert says["image"] == metrics(run_copy)["image"]
        assert says["sequence"] == metrics(run_copy)["sequence"]
    if command == "validate":
        split = pd.read_csv(run_copy / "split.csv")
        predictions = pd.read_csv(folder / "predictions.csv")
        assert set(predictions["identity"]) == set(split.query("split == 'val'")["identity"])
        epoch = torch.load(run_copy / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        logged = pd.read_csv(run_copy / "metrics.csv")
        accuracy = logged.loc[logged["epoch"] == epoch, "val/accuracy"].dropna().item()
        assert says["image"]["accuracy"] == pytest.approx(accuracy)


def test_other_settings_have_places_of_their_own(
    run_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, whole = content(run_copy), metrics(run_copy)
    for _ in range(2):  # the same evaluation again takes the same place
        assert main(["test", str(run_copy), "--data.equalize=false"]) == 0
    (first,) = evaluations(run_copy)
    changed = {"data.equalize": {"training": True, "here": False}}
    assert metrics(first)["evaluation"]["changed"] == changed
    assert metrics(first)["evaluation"]["settings"]["equalize"] is False
    config = yaml.safe_load((first / "config.yaml").read_text())
    assert config["data"]["init_args"]["equalize"] is False
    assert config["trainer"]["logger"]["init_args"]["version"] == first.name
    limited = ("--trainer.limit_test_batches=0.5", "--data.eval_batch_size=10")
    assert main(["test", str(run_copy), *limited]) == 0
    (second,) = set(evaluations(run_copy)) - {first}
    says = metrics(second)
    assert says["limited"] == {"images": 20, "of": whole["image"]["total"]}
    assert says["image"]["total"] == 20
    assert says["evaluation"]["settings"]["limit_test_batches"] == 0.5
    assert main(["test", str(run_copy), "--model.flip_average=true"]) == 0
    assert len(evaluations(run_copy)) == 3
    assert content(run_copy) == before
    capsys.readouterr()


def test_the_run_s_own_test_says_that_it_was_limited(store: Store, tmp_path: Path) -> None:
    more = ("--trainer.limit_test_batches=0.5", "--data.eval_batch_size=10")
    assert main(fit_options(store.folder, tmp_path, "--trainer.max_epochs=1", *more)) == 0
    assert metrics(tmp_path / "ckplus" / "version_0")["limited"] == {"images": 20, "of": 36}


def test_predictions_judge_nobody(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(finished), "--allow_seen_people=true"]) == 2
    assert "no effect on predict; leave them out:\n  allow_seen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "shown"),
    [
        (
            ("--model.optimizer.lr=1",),
            2,
            "no effect on test; leave them out:\n  model.optimizer.lr",
        ),
        (("--data.batch_size=4",), 2, "data.batch_size=4 is not used"),
        (("--data.seed=4",), 2, "no effect on test; leave them out:\n  data.seed"),
        (("--model.init_from=x.ckpt",), 2, "no effect on test; leave them out:\n  model.init_from"),
        (("--model.backbone=ferlit.models.InceptionFER",), 1, "of another network"),
        (("--ckpt_path=other.ckpt",), 2, "names another checkpoint"),
        (("--data.store=nowhere",), 1, "nowhere: no prepared store"),
    ],
)
def test_what_an_evaluation_cannot_use_is_refused(
    finished: Path,
    options: tuple[str, ...],
    code: int,
    shown: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(finished.rglob("*"))
    assert main(["test", str(finished), *options]) == code
    assert shown in capsys.readouterr().err
    assert sorted(finished.rglob("*")) == before


def test_a_run_is_found_from_any_folder_and_after_its_root_is_gone(
    run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load((run_copy / "config.yaml").read_text())
    config["data"]["init_args"].update(root="gone", store="relative/store")
    (run_copy / "config.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    assert main(["test", "runs/ckplus/version_0"]) == 0
    (folder,) = evaluations(run_copy)
    assert metrics(folder)["image"] == metrics(run_copy)["image"]


def test_a_run_of_an_earlier_version_is_evaluated(run_copy: Path) -> None:
    for path in (run_copy / "checkpoints").iterdir():
        old = torch.load(path, weights_only=True)
        del old["people"], old["configuration"]
        torch.save(old, path)
    config = yaml.safe_load((run_copy / "config.yaml").read_text())
    del config["allow_seen_people"]
    config["model"]["init_args"]["lr_scheduler"] = {
        "class_path": "torch.optim.lr_scheduler.CosineAnnealingLR",
        "init_args": {"T_max": 60, "eta_min": 0.0, "last_epoch": -1},
    }
    (run_copy / "config.yaml").write_text(yaml.safe_dump(config))
    for command in ("test", "validate", "predict"):
        assert main([command, str(run_copy)]) == 0
    test = next(path for path in evaluations(run_copy) if path.name.startswith("test"))
    assert metrics(test)["image"] == metrics(run_copy)["image"]
    assert metrics(test)["evaluation"]["people"]["unknown"] == []


def test_a_copied_checkpoint_needs_nothing_and_keeps_its_results_beside_it(
    finished: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copy(finished / "checkpoints" / "best.ckpt", tmp_path / "network.ckpt"))
    assert main(["test", str(copy)]) == 0
    (folder,) = evaluations(tmp_path)
    assert folder.name.startswith("test_network_")
    assert metrics(folder)["image"] == metrics(finished)["image"]


def test_the_newest_run_of_another_system_is_named(
    finished: Path, run_copy: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(store.folder, run_copy.parent.parent, "--config=systems/1b_n1.yaml")
    newer = run_copy.with_name("version_1")
    assert main([*options, "--trainer.max_epochs=1"]) == 0
    for command in ("test", "fit"):
        plain = fit_options(store.folder, run_copy.parent.parent, "--ckpt_path=best")
        capsys.readouterr()
        assert main([command, *plain[1:]]) == 1
        errors = capsys.readouterr().err
        assert f"the newest run, {newer}, is of another network" in errors
        assert "model.branches: OneBranch there, TwoBranch now" in errors
        assert f"--ckpt_path {run_copy / 'checkpoints' / 'best.ckpt'}" in errors
        assert len(errors.splitlines()) < 8
    assert sorted(path.name for path in run_copy.parent.iterdir()) == ["version_0", "version_1"]


def test_data_with_other_classes_are_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = drawn_like(DATABASES["fer2013"])
    store = prepare_store(database, tmp_path / "tree", tmp_path / "store", progress=False)
    options = [f"--data.store={store.folder}", "--data.fold=null"]
    assert main(["test", str(finished), *options]) == 1
    errors = capsys.readouterr().err
    assert "knows the classes anger, contempt, disgust" in errors
    assert "the data have neutral, anger, disgust" in errors


def test_a_failed_start_leaves_no_folder(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(store.folder, tmp_path, "--model.init_from=nowhere.ckpt")
    assert main(options) == 1
    assert "nowhere.ckpt: there is no such checkpoint" in capsys.readouterr().err
    assert not list(tmp_path.rglob("version_*"))


def test_the_report_passes_over_evaluations_and_names_empty_runs(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["test", str(run_copy), "--data.equalize=false"]) == 0
    empty = run_copy.with_name("version_7")
    empty.mkdir()
    begun = run_copy.with_name("version_8")
    begun.mkdir()
    shutil.copy(run_copy / "config.yaml", begun)
    apart = run_copy.with_name("version_9")  # as `ferlit test --ckpt_path FILE` once made them
    apart.mkdir()
    for name in ("metrics.json", "predictions.csv"):
        shutil.copy(run_copy / name, apart)
    capsys.readouterr()
    options = [f"--runs={run_copy.parent}", f"--output={tmp_path / 'report'}"]
    assert main(["report", *options]) == 0
    told = capsys.readouterr().out
    assert "evaluations" not in told
    assert f"{empty}: it has not trained an epoch" in told
    assert f"{begun}: it has not trained an epoch" in told
    assert f"{apart}: an evaluation of a checkpoint that was trained elsewhere" in told
