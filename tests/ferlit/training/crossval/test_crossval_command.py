"""Whole cross-validations by the command line; each fit in them is a process."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data.records import read_records, write_records
from ferlit.data.store import RECORDS, Store
from ferlit.data.store.manifest import write_manifest
from ferlit.evaluation.results import evaluate_images, evaluate_sequences
from tests.ferlit.tiny import TINY

ROOT = Path(__file__).parents[4]
Results = dict[str, Any]


def crossval_options(store: Path, output: Path, *more: str) -> list[str]:
    return [
        "crossval",
        "--config=ckplus.yaml",
        f"--output={output}",
        "--seeds=0",
        "--data.folds=3",
        f"--data.store={store}",
        "--data.num_workers=0",
        *TINY,
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=2",
        *more,
    ]


def start(options: list[str]) -> "subprocess.Popen[str]":
    """Start it as the head of a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ferlit", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(["nmloss/src", "."])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A suite that runs in the background ignores SIGINT, and its children would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(options: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    process = start(options)
    output, errors = process.communicate(timeout=900)
    return process.returncode, output, errors


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 300
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition(), process.communicate()[1] if process.poll() is not None else "too slow"


def read_results(folder: Path) -> Results:
    results: Results = json.loads((folder / "results.json").read_text())
    return results


def without_seconds(runs: list[Results]) -> list[Results]:
    return [{name: value for name, value in run.items() if name != "seconds"} for run in runs]


def finished_at(folder: Path) -> dict[str, int]:
    """When each finished run came to its end."""
    marks = folder.glob("runs/*/*/*/run.json")
    return {
        str(mark.parent.relative_to(folder)): mark.stat().st_mtime_ns
        for mark in marks
        if "finished" in json.loads(mark.read_text())
    }


@pytest.fixture(scope="module")
def whole(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-validation that nobody stopped: 2 systems x 1 seed x 3 folds."""
    folder = tmp_path_factory.mktemp("crossval") / "whole"
    more = ("--systems=softmax,2b_nm", "--jobs=2")
    code, output, errors = finish(crossval_options(store.folder, folder, *more))
    assert code == 0, errors
    (folder / "printed.txt").write_text(output)
    return folder


def test_every_system_and_fold_is_a_run_with_its_counts(whole: Path) -> None:
    results = read_results(whole)
    runs = results["runs"]
    assert [(run["system"], run["seed"], run["fold"]) for run in runs] == [
        (system, 0, fold) for system in ("softmax", "2b_nm") for fold in range(3)
    ]
    for run in runs:
        folder = (whole / run["checkpoint"]).parent.parent
        assert folder == whole / "runs" / run["system"] / "seed_0" / f"fold_{run['fold']}"
        assert (whole / run["checkpoint"]).is_file()
        split = pd.read_csv(folder / "split.csv").groupby("split")[["images", "sequences"]].sum()
        assert {part: split.loc[part].to_dict() for part in ("train", "val", "test")} == run[
            "counts"
        ]
        metrics = json.loads((folder / "metrics.json").read_text())
        assert run["image_accuracy"] == metrics["image"]["accuracy"]
        assert run["sequence_accuracy"] == metrics["sequence"]["accuracy"]
        confusion = pd.read_csv(folder / "confusion.csv", index_col="actual")
        assert run["confusion"] == confusion.to_numpy().tolist()
        assert run["seconds"] > 0


def test_the_folds_test_every_image_once_and_pool_to_all_predictions(whole: Path) -> None:
    results = read_results(whole)
    for system, summary in results["summary"].items():
        paths = sorted(whole.glob(f"runs/{system}/seed_0/fold_*/predictions.csv"))
        joined = pd.concat([pd.read_csv(path, keep_default_na=False) for path in paths])
        assert joined["image"].is_unique
        by_image = evaluate_images(joined, results["classes"])
        by_sequence = evaluate_sequences(joined, results["classes"], "max")
        assert by_sequence is not None
        for level, expected in (("image", by_image), ("sequence", by_sequence)):
            assert summary[level]["confusion"] == expected.confusion.tolist()
            for name, value in expected.to_dict().items():
                assert summary[level][name] == pytest.approx(value)


def test_it_prints_and_writes_what_came_out(whole: Path) -> None:
    results, printed = read_results(whole), (whole / "printed.txt").read_text()
    for system, summary in results["summary"].items():
        for level in ("image", "sequence"):
            assert f"{summary[level]['correct']}/{summary[level]['total']}" in printed
            assert (whole / f"confusion_{system}_{level}.csv").is_file()
        assert (whole / f"confusion_{system}.png").is_file()
    figures = results["comparisons"][0]["over_seeds"]
    assert f"better on {figures['b']}, worse on {figures['c']} of {figures['total']}" in printed
    assert "2b_nm seed 0 fold 2: " in printed
    assert str(whole / "results.json") in printed


def test_stopped_and_killed_it_goes_on_to_the_same_results(
    whole: Path, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "stopped"
    options = crossval_options(store.folder, folder, "--systems=softmax")
    process = start(options)
    wait_until(lambda: any(folder.glob("runs/*/*/*/checkpoints/last.ckpt")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"interrupted; to go on:\n  ferlit crossval --config=ckplus.yaml --output={folder}" in (
        errors
    )
    for log in folder.rglob("fit.log"):
        with log.open() as file:  # raises where a fit still holds it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    process = start(options)
    wait_until(lambda: len(read_results(folder)["runs"]) >= 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    before = finished_at(folder)
    assert before
    assert len(before) < 3
    # A fit that has just ended may not be in the results yet.
    assert 1 <= len(read_results(folder)["runs"]) <= len(before)

    code, output, errors = finish(options)
    assert code == 0, errors
    assert f"{len(before)} of 3 runs are finished already" in output
    assert before.items() <= finished_at(folder).items()
    results, expected = read_results(folder), read_results(whole)
    assert without_seconds(results["runs"]) == without_seconds(expected["runs"][:3])
    assert results["summary"]["softmax"] == expected["summary"]["softmax"]
    assert not list(folder.rglob("last.ckpt"))


def test_a_finished_one_is_only_evaluated_again(whole: Path, store: Store) -> None:
    before, results = finished_at(whole), (whole / "results.json").read_text()
    more = ("--systems=softmax,2b_nm", "--data.num_workers=1")  # changes no result
    assert main(crossval_options(store.folder, whole, *more)) == 0
    assert finished_at(whole) == before
    assert (whole / "results.json").read_text() == results


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trainer.max_epochs=3", "  trainer.max_epochs: 2 there, 3 now\n"),
        ("--model.optimizer.lr=0.1", "optimizer.init_args.lr: 0.0005 there, 0.1 now\n"),
        ("--data.folds=4", "data.init_args.folds: 3 there, 4 now\n"),
    ],
)
def test_another_option_in_the_same_folder_is_refused(
    whole: Path, store: Store, option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (whole / "crossval.json").read_text()
    assert main(crossval_options(store.folder, whole, "--systems=1b_nm", option)) == 2
    assert message in capsys.readouterr().err
    assert (whole / "crossval.json").read_text() == settings


def test_finished_runs_bind_without_their_checkpoints_too(
    whole: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "folder"))
    for checkpoint in folder.rglob("*.ckpt"):  # the most of the disk that a run takes
        checkpoint.unlink()
    options = crossval_options(store.folder, folder, "--systems=softmax", "--trainer.max_epochs=3")
    assert main(options) == 2
    assert "  trainer.max_epochs: 2 there, 3 now\n" in capsys.readouterr().err


def test_two_cross_validations_do_not_write_into_one_folder(
    whole: Path, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferlit.locks.PATIENCE_SECONDS", 0.3)
    options = crossval_options(store.folder, whole, "--systems=softmax,2b_nm")
    other = os.open(whole, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert main(options) == 1
        assert "another ferlit crossval is running there" in capsys.readouterr().err
    finally:
        os.close(other)
    assert main(options) == 0


def test_another_store_in_the_same_folder_is_refused(
    whole: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(store.folder, tmp_path / "store"))
    records = read_records(other / RECORDS)
    records["identity"] = records["identity"].replace({records["identity"][0]: "somebody"})
    write_records(records, other / RECORDS)
    write_manifest(other)
    assert main(crossval_options(other, whole, "--systems=softmax")) == 2
    assert "another store, or other persons" in capsys.readouterr().err


def test_a_fold_that_fails_leaves_the_others_and_is_tried_again(
    whole: Path, store: Store, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "folder"))
    seed = folder / "runs" / "softmax" / "seed_0"
    for fold in (1, 2):
        shutil.rmtree(seed / f"fold_{fold}")
    obstacle = seed / "fold_1" / "checkpoints"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where the checkpoints should go")
    options = crossval_options(store.folder, folder, "--systems=softmax", "--jobs=2")
    code, output, errors = finish(options)
    assert code == 1
    assert "1 of 3 runs failed" in errors
    assert "softmax seed 0 fold 1, exit code 1; the end of" in errors
    assert "the checkpoint cannot be written: File exists" in errors
    assert "softmax seed 0 fold 2: " in output
    results, expected = read_results(folder), read_results(whole)
    assert [run["fold"] for run in results["runs"]] == [0, 2, 0, 1, 2]
    assert results["summary"]["softmax"]["image"]["over_seeds"]["seeds"] == 0
    assert results["summary"]["2b_nm"] == expected["summary"]["2b_nm"]

    obstacle.unlink()
    code, _, errors = finish(options)
    assert code == 0, errors
    assert read_results(folder)["summary"] == expected["summary"]


def test_an_official_split_without_a_test_is_judged_by_its_validation(
    store: Store, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(store.folder, tmp_path / "store"))
    records = read_records(folder / RECORDS)
    people = sorted(records["identity"].unique())
    records["split"] = records["identity"].isin(people[:5]).map({True: "train", False: "val"})
    write_records(records, folder / RECORDS)
    write_manifest(folder)
    more = ("--systems=softmax", "--data.fold=null")
    code, output, errors = finish(crossval_options(folder, tmp_path / "out", *more))
    assert code == 0, errors
    assert "no labelled test images" in output
    results = read_results(tmp_path / "out")
    (run,) = results["runs"]
    assert (results["part"], run["fold"]) == ("val", None)
    assert run["counts"]["test"] == {"images": 0, "sequences": 0}
    assert results["summary"]["softmax"]["image"]["total"] == run["counts"]["val"]["images"]
    metrics = pd.read_csv(tmp_path / "out/runs/softmax/seed_0/official_split/metrics.csv")
    assert run["image_accuracy"] == pytest.approx(metrics["val/accuracy"].max(), abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--systems=softmax,3b"], "--systems 3b: no configuration systems/3b.yaml; shipped are"),
        (["--systems=softmax,softmax"], "softmax is there twice"),
        (["--systems="], "name at least one"),
        (["--seeds=0,a"], "--seeds '0,a'"),
        (["--seeds=1,1"], "--seeds '1,1'"),
        (["--jobs=0"], "--jobs 0: at least 1"),
        (["--data.fold=2"], "--data.fold 2: crossval runs every fold"),
        (["--data.init_args.seed=2"], "--data.seed is not for crossval: give --seeds"),
        (["--ckpt_path", "last"], "goes on by itself"),
        (["--checkpoint.dirpath=shared"], "every run keeps best.ckpt in a folder of its own"),
        (["--checkpoint.filename=top"], "every run keeps best.ckpt in a folder of its own"),
        (["--trainer.no_such=1"], "the options do not fit the system softmax: "),
        (["--no_such", "1"], "the options do not fit the system softmax: "),
        (["--data.folds=9"], "8 subjects"),
    ],
)
def test_a_mistake_is_explained_and_leaves_nothing(
    store: Store,
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(crossval_options(store.folder, tmp_path / "out", "--systems=softmax", *options))
    assert code == (1 if "--data.folds=9" in options else 2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_runs_of_unknown_options_are_refused(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    assert main(crossval_options(store.folder, tmp_path)) == 1
    assert "does not tell what they were made with" in capsys.readouterr().err
