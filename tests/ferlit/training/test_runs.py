"""Whole runs by the command line: what a user gets, and what is left after a failure."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from ferlit import locks
from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.runs.folder import RunFolder
from ferlit.training import JointModule
from tests.ferlit.training.fits import ROOT, command, environment, fit_options, run_command


def losses(run: Path) -> dict[int, list[float]]:
    """Epoch -> its logged losses, of ``metrics.csv``."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ("train/loss", "train/metric", "val/loss")
    table: dict[int, list[float]] = {}
    for row in rows:
        values = [float(row[name]) for name in names if row.get(name)]
        table.setdefault(int(row["epoch"]), []).extend(values)
    return table


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three epochs."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(fit_options(store.folder, runs, "--trainer.max_epochs=3")) == 0
    return runs / "ckplus" / "version_0"


def test_a_run_leaves_its_configuration_split_results_and_checkpoints(
    run: Path, store: Store
) -> None:
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {
        "config.yaml",
        "metrics.csv",
        "split.csv",
        "run.json",
        "metrics.json",
        "confusion.csv",
        "confusion.png",
        "predictions.csv",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    } <= names
    split = pd.read_csv(run / "split.csv")
    assert split.groupby("identity")["split"].nunique().eq(1).all()
    tested = split[split["split"] == "test"]
    predictions = pd.read_csv(run / "predictions.csv")
    assert len(predictions) == tested["images"].sum()
    assert set(predictions["identity"]) == set(tested["identity"])
    logged = pd.read_csv(run / "metrics.csv")
    sources = logged[[name for name in logged if name.startswith("negatives/")]].dropna()
    assert len(sources) == 3
    assert sources.sum(axis=1).to_numpy() == pytest.approx(1)
    metrics = json.loads((run / "metrics.json").read_text())
    confusion = pd.read_csv(run / "confusion.csv", index_col=0)
    assert confusion.to_numpy().sum() == len(predictions)
    right = (predictions["label"] == predictions["predicted"]).mean()
    assert metrics["image"]["accuracy"] == pytest.approx(right)
    assert metrics["sequence"]["total"] == tested["sequences"].sum()


def test_a_checkpoint_loads_safely_and_rebuilds_its_module(run: Path) -> None:
    path = run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    module = JointModule.load_from_checkpoint(path, weights_only=True)
    assert type(module.backbone).__name__ == "TinyBackbone"
    assert module.classes == checkpoint["hyper_parameters"]["classes"]
    for name, value in module.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][name])


def test_a_resumed_run_repeats_the_losses_of_one_never_stopped(
    run: Path, store: Store, tmp_path: Path
) -> None:
    assert main(fit_options(store.folder, tmp_path, "--trainer.max_epochs=2")) == 0
    more = ("--trainer.max_epochs=3", "--ckpt_path=last")
    assert main(fit_options(store.folder, tmp_path, *more)) == 0
    runs = list((tmp_path / "ckplus").iterdir())
    assert [folder.name for folder in runs] == ["version_0"]
    resumed, whole = losses(runs[0]), losses(run)
    assert {epoch: whole[epoch] for epoch in range(3)} == {
        epoch: resumed[epoch] for epoch in range(3)
    }


def test_the_last_checkpoint_is_the_last_epochs(run: Path) -> None:
    accuracy = pd.read_csv(run / "metrics.csv").groupby("epoch")["val/accuracy"].first()
    epochs = {
        name: torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    }
    assert epochs == {"best": accuracy.idxmax(), "last": 2}
    assert accuracy.idxmax() < 2, "else this shows nothing"


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_finished_run_is_not_trained_again(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    options = fit_options(store.folder, run.parent.parent, "--trainer.max_epochs=3")
    assert main([*options, f"--ckpt_path={name}"]) == 0
    assert f"{run}: finished already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_finished_run_whose_test_is_gone_is_tested(
    run: Path, store: Store, tmp_path: Path
) -> None:
    again = tmp_path / "ckplus" / "version_0"
    shutil.copytree(run, again)
    (again / "predictions.csv").unlink()
    before = (again / "run.json").read_bytes(), (again / "metrics.csv").read_bytes()
    options = fit_options(store.folder, tmp_path, "--trainer.max_epochs=3", "--ckpt_path=last")
    assert main(options) == 0
    assert (again / "predictions.csv").read_text() == (run / "predictions.csv").read_text()
    assert ((again / "run.json").read_bytes(), (again / "metrics.csv").read_bytes()) == before


def test_a_run_of_before_whose_last_checkpoint_is_its_best_one_is_left_alone(
    run: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "ckplus" / "version_0"
    shutil.copytree(run, again)
    shutil.copy(again / "checkpoints" / "best.ckpt", again / "checkpoints" / "last.ckpt")
    options = fit_options(store.folder, tmp_path, "--ckpt_path=last")
    assert main([*options, "--trainer.max_epochs=3"]) == 0
    assert (again / "metrics.csv").read_text() == (run / "metrics.csv").read_text()
    assert main([*options, "--trainer.max_epochs=4"]) == 0
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["epoch"]
    told = f"goes on after epoch {best + 1}; {again / 'metrics.csv'} has rows up to epoch 3"
    assert told in capsys.readouterr().err
    assert pd.read_csv(again / "metrics.csv")["epoch"].max() == 3


def test_fewer_epochs_than_the_checkpoint_has_are_refused(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(store.folder, run.parent.parent, "--trainer.max_epochs=2")
    assert main([*options, "--ckpt_path=last"]) == 2
    assert "last.ckpt has 3 epochs of training behind it" in capsys.readouterr().err


def test_a_new_fit_does_not_begin_in_the_folder_of_another(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    options = fit_options(store.folder, run.parent.parent, "--trainer.logger.version=0")
    assert main(options) == 1
    assert f"go on with it by --ckpt_path {run}" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_fit_without_a_logger_overwrites_nothing(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "config.yaml"
    own.write_text("trainer:\n  max_epochs: 1\n  limit_train_batches: 1\n")
    options = fit_options(store.folder, tmp_path, "--config=config.yaml", "--trainer.logger=false")
    before = own.read_bytes()
    assert main(options) == 1
    assert f"{tmp_path} has config.yaml, which a fit without" in capsys.readouterr().err
    assert own.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    apart = f"--trainer.default_root_dir={tmp_path / 'apart'}"
    assert main([*options, apart]) == 0
    assert (tmp_path / "apart" / "metrics.json").is_file()
    assert main([*options, apart]) == 1
    assert "has config.yaml, run.json, split.csv, metrics.json" in capsys.readouterr().err


def test_a_trial_leaves_nothing_behind(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(fit_options(store.folder, tmp_path, "--trainer.fast_dev_run=true")) == 0
    assert not any(tmp_path.iterdir())


def test_the_last_of_a_run_with_a_name_is_found(
    run: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = Path(shutil.copytree(run, tmp_path / "ckplus" / "mine"))
    shutil.copytree(run, tmp_path / "ckplus" / "version_7")  # newer
    options = fit_options(store.folder, tmp_path, "--trainer.max_epochs=3")
    assert main([*options, "--ckpt_path=last", "--trainer.logger.version=mine"]) == 0
    assert f"{named}: finished already" in "".join(capsys.readouterr())
    assert main([*options, "--ckpt_path=last", "--trainer.logger.version=7"]) == 0
    assert "version_7: finished already" in "".join(capsys.readouterr())
    shutil.rmtree(tmp_path / "ckplus" / "version_7")
    assert main([*options, "--ckpt_path=last"]) == 0
    assert f"{named}: finished already" in "".join(capsys.readouterr())
    assert main([*options, "--ckpt_path=last", "--trainer.logger.version=5"]) == 2
    assert "version_5 has no checkpoint last.ckpt" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_finished_run_is_evaluated_again(
    run: Path, store: Store, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "metrics.json").read_text()
    options = fit_options(store.folder, run.parent.parent, "--ckpt_path=best")
    assert main([command, *options[1:]]) == 0
    assert (run / "metrics.json").read_text() == before
    if command == "predict":  # by its own network and settings: they are the run's
        assert len(pd.read_csv(run / "predictions_all.csv")) == len(store.records)
    else:
        (folder,) = (run / "evaluations").glob(f"{command}_best_*")
        assert (folder / "metrics.json").is_file()


def test_a_checkpoint_given_by_its_file_is_tested_in_a_folder_of_its_own(
    run: Path, store: Store, tmp_path: Path
) -> None:
    options = fit_options(
        store.folder, tmp_path, f"--ckpt_path={run / 'checkpoints' / 'best.ckpt'}"
    )
    assert main(["test", *options[1:]]) == 0
    assert not any(tmp_path.iterdir())
    (folder,) = (run / "evaluations").glob("test_best_*")
    again = json.loads((folder / "metrics.json").read_text())
    whole = json.loads((run / "metrics.json").read_text())
    assert {level: again[level] for level in whole} == whole


def stop_in_an_epoch(
    store: Store, runs: Path, sign: signal.Signals, *more: str, to_all: bool = False
) -> tuple[Path, int, str]:
    """Start a long fit and stop it after its first checkpoint; checkpoint, exit code, stderr."""
    running = subprocess.Popen(
        command(store, runs, "--trainer.max_epochs=10000", *more),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background ignores SIGINT, and its children would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=to_all,
    )
    last = runs / "ckplus" / "version_0" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    if to_all:
        os.killpg(running.pid, sign)
    else:
        running.send_signal(sign)
    errors = running.communicate(timeout=60)[1]
    assert last.exists(), errors
    return last, running.returncode, errors


def test_a_killed_run_goes_on_from_its_last_checkpoint(store: Store, tmp_path: Path) -> None:
    last, _, _ = stop_in_an_epoch(store, tmp_path, signal.SIGKILL)
    epochs = torch.load(last, weights_only=True)["epoch"] + 3
    more = (f"--trainer.max_epochs={epochs}", "--ckpt_path=last")
    done = subprocess.run(command(store, tmp_path, *more), cwd=ROOT, env=environment(), check=False)
    assert done.returncode == 0
    logged = losses(last.parent.parent)
    assert [len(logged[epoch]) for epoch in range(epochs)] == [3] * epochs
    assert [folder.name for folder in (tmp_path / "ckplus").iterdir()] == ["version_0"]


def test_two_fits_do_not_write_into_one_run(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = subprocess.Popen(
        command(store, tmp_path, "--trainer.max_epochs=10000"),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    run = tmp_path / "ckplus" / "version_0"
    last = run / "checkpoints" / "last.ckpt"
    try:
        while not last.exists() and running.poll() is None:
            time.sleep(0.05)
        monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.1)
        again = fit_options(store.folder, tmp_path, f"--ckpt_path={last}")
        assert main([*again, "--trainer.max_epochs=10000"]) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert f"{run}: another ferlit fit is running there; wait for its end, or end it" in told
        assert running.poll() is None
        assert (run / "config.yaml").is_file()
    finally:
        running.kill()
        running.wait()
    assert all(len(rows) == 3 for rows in losses(run).values())
    epochs = torch.load(last, weights_only=True)["epoch"] + 2
    monkeypatch.undo()
    assert main([*again, f"--trainer.max_epochs={epochs}"]) == 0, "a killed fit holds nothing"


def test_an_interrupted_run_says_how_to_go_on(store: Store, tmp_path: Path) -> None:
    last, code, errors = stop_in_an_epoch(store, tmp_path, signal.SIGINT)
    assert code == 130
    assert "interrupted; to go on:\n  ferlit fit --config=ckplus.yaml" in errors
    assert errors.rstrip().endswith(f"--ckpt_path {last}")


def test_a_sigterm_to_all_processes_interrupts_and_is_no_failure_of_the_workers(
    store: Store, tmp_path: Path
) -> None:
    workers = ("--data.num_workers=2",)
    last, code, errors = stop_in_an_epoch(store, tmp_path, signal.SIGTERM, *workers, to_all=True)
    assert code == 130, errors
    assert "DataLoader" not in errors
    assert errors.rstrip().endswith(f"--ckpt_path {last}")


def test_a_run_without_a_checkpoint_does_not_go_on_from_another_run(
    run: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt = "--trainer.callbacks=tests.ferlit.training.waiting.InterruptAtOnce"
    options = fit_options(store.folder, run.parent.parent, interrupt)
    assert main(options) == 130
    assert capsys.readouterr().err.endswith(
        f"interrupted; to go on:\n  ferlit {shlex.join(options)}\n"
    )


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_a_network_of_another_fold_is_refused(
    run: Path, store: Store, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    options = fit_options(store.folder, run.parent.parent, "--data.fold=1", "--ckpt_path=best")
    assert main([command, *options[1:]]) == 1
    errors = capsys.readouterr().err
    assert "best.ckpt was trained in fold 0 of 4, and the data are those of fold 1 of 4" in errors
    assert "give --data.fold=0 --data.folds=4" in errors
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_run_whose_folder_was_moved_keeps_its_best_network(store: Store, tmp_path: Path) -> None:
    for epochs, runs, more in ((2, "old", ()), (3, "new", ("--ckpt_path=last",))):
        options = fit_options(store.folder, tmp_path / runs, f"--trainer.max_epochs={epochs}")
        assert main([*options, *more]) == 0
        if runs == "old":
            (tmp_path / "old").rename(tmp_path / "new")
    folder = tmp_path / "new" / "ckplus" / "version_0"
    accuracy = pd.read_csv(folder / "metrics.csv").groupby("epoch")["val/accuracy"].first()
    assert accuracy.idxmax() < 2, "else this shows nothing"
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == accuracy.idxmax()
    assert RunFolder(folder).is_finished
    assert not (tmp_path / "old").exists()


def test_two_processes_test_every_image_once(store: Store, tmp_path: Path) -> None:
    more = ("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_epochs=1")
    done = run_command(command(store, tmp_path, *more))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "ckplus" / "version_0"
    split = pd.read_csv(run / "split.csv")
    predictions = pd.read_csv(run / "predictions.csv")
    assert predictions["image"].is_unique
    assert len(predictions) == split.loc[split["split"] == "test", "images"].sum()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["image"]["total"] == len(predictions)


def test_without_a_checkpoint_the_message_says_so(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit_options(store.folder, tmp_path, "--ckpt_path=last")) == 1
    assert "no run in" in capsys.readouterr().err
    assert main(["test", *fit_options(store.folder, tmp_path)[1:]]) == 2
    assert "needs a checkpoint" in capsys.readouterr().err
    options = fit_options(store.folder, tmp_path, "--trainer.logger=false", "--ckpt_path=last")
    assert main([option for option in options if "save_dir" not in option]) == 2
    assert "needs a logger" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
