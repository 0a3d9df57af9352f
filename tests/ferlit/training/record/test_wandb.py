"""Real offline runs, read back from the files that W&B's own service wrote."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.training import WandbRunLogger
from tests.ferlit.training.fits import ROOT, command, environment, fit_options, run_command
from tests.ferlit.training.record_files import wandb_records

LOGGER = "--trainer.logger.init_args."


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_MODE", "offline")
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("wandb")))
        yield


def options(store: Path, runs: Path, *more: str) -> list[str]:
    return fit_options(store, runs, "--config=wandb.yaml", *more)


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory, offline: None) -> Path:
    """A run of one epoch, resumed for a second."""
    runs = tmp_path_factory.mktemp("runs")
    labels = (f"{LOGGER}group=folds", f"{LOGGER}tags=[tiny,test]", f"{LOGGER}notes=for a test")
    assert main(options(store.folder, runs, *labels, "--trainer.max_epochs=1")) == 0
    more = (*labels, "--trainer.max_epochs=2", "--ckpt_path=last")
    assert main(options(store.folder, runs, *more)) == 0
    return runs / "ckplus" / "version_0"


@pytest.fixture(scope="module")
def sessions(run: Path) -> list[list[Any]]:
    """The records of the first fit and of the resumed one."""
    return [whole_session(path) for path in sorted(run.glob("wandb/offline*/*.wandb"))]


def whole_session(path: Path) -> list[Any]:
    """All records of a session; W&B's service may write the last ones when the fit has ended."""
    deadline = time.monotonic() + 30
    while True:
        records = list(wandb_records(path))
        if records[-1].HasField("exit"):
            return records
        assert time.monotonic() < deadline
        time.sleep(0.1)


def history(records: list[Any]) -> list[dict[str, Any]]:
    return [
        {
            ".".join(item.nested_key) or item.key: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in records
        if record.HasField("history")
    ]


def config(records: list[Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for record in records:
        source = record.run.config if record.HasField("run") else record.config
        for item in source.update:
            values[item.key or item.nested_key[0]] = json.loads(item.value_json)
    return values


def test_the_overlay_keeps_the_folder_of_the_run_and_its_table(run: Path) -> None:
    assert [folder.name for folder in run.parent.iterdir()] == ["version_0"]
    table = pd.read_csv(run / "metrics.csv")
    assert sorted(set(table["epoch"])) == [0, 1]
    assert {"metric/positives_kept", "metric/tuples_with_loss", "metric/threshold"} <= set(table)
    assert table["train/learning_rate"].dropna().tolist() == pytest.approx([0.03, 0.02997944])
    assert table["metric/positives_kept"].dropna().between(0, 1).all()


def test_every_number_of_the_table_is_logged(run: Path, sessions: list[list[Any]]) -> None:
    table = pd.read_csv(run / "metrics.csv")
    expected = [
        {name: value for name, value in row.items() if name != "step" and pd.notna(value)}
        for row in table.to_dict("records")
    ]
    logged = [
        {name: value for name, value in row.items() if name in table and name != "step"}
        for records in sessions
        for row in history(records)
        if "epoch" in row
    ]
    assert len(logged) == len(expected)
    for found, wanted in zip(logged, expected, strict=True):
        assert found == pytest.approx(wanted)


def test_a_resumed_run_is_the_same_wandb_run(run: Path, sessions: list[list[Any]]) -> None:
    ids = {record.run.run_id for records in sessions for record in records if record.run.run_id}
    assert len(sessions) == 2
    assert ids == {json.loads((run / "wandb.json").read_text())["id"]}


def test_group_tags_and_notes_are_passed_on(sessions: list[list[Any]]) -> None:
    started = next(record.run for record in sessions[0] if record.HasField("run"))
    assert (started.project, started.run_group, started.notes) == ("ferlit", "folds", "for a test")
    assert list(started.tags) == ["tiny", "test"]
    assert started.display_name == "ckplus/version_0"


def test_the_full_configuration_store_and_provenance_are_kept(
    run: Path, store: Store, sessions: list[list[Any]]
) -> None:
    values = config(sessions[0])
    assert values["model"]["class_path"] == "ferlit.training.JointModule"
    assert values["model"]["init_args"]["alpha"] == 1.0
    assert values["run"]["store"]["fingerprint"] == store.description.fingerprint
    assert values["run"]["finished"]
    assert values["store"]["prepared"] == len(store.records)
    assert values["store"]["classes"].keys() == set(store.records["expression"])
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert config(sessions[1])["trainer"] == saved["trainer"]


def test_results_and_pictures_are_logged(run: Path, sessions: list[list[Any]]) -> None:
    rows = history(sessions[1])
    logged = {name: value for row in rows for name, value in row.items()}
    metrics = json.loads((run / "metrics.json").read_text())
    assert logged["test/image_accuracy"] == pytest.approx(metrics["image"]["accuracy"])
    assert logged["test/sequence_total"] == metrics["sequence"]["total"]
    assert logged["store/contact_sheet._type"] == "image-file"
    assert logged["test/confusion._type"] == "image-file"
    (folder,) = {path.parent for path in sorted(run.glob("wandb/offline*/*.wandb"))[1:]}
    file = folder / "files" / logged["test/confusion_matrix_table.path"]
    table = json.loads(file.read_text())
    confusion = pd.read_csv(run / "confusion.csv", index_col="actual")
    counts = {(actual, predicted): count for actual, predicted, count in table["data"]}
    assert counts == confusion.stack().to_dict()


def test_the_best_checkpoint_is_an_artifact_beside_what_describes_it(
    run: Path, sessions: list[list[Any]]
) -> None:
    artifacts = [
        artifact
        for record in sessions[1]
        for artifact in (record.artifact, record.request.log_artifact.artifact)
        if artifact.type == "model"
    ]
    (artifact,) = artifacts
    files = {entry.path: entry.size for entry in artifact.manifest.contents}
    assert files["best.ckpt"] == (run / "checkpoints" / "best.ckpt").stat().st_size
    assert files.keys() == {"best.ckpt", "config.yaml", "run.json"}
    assert "best" in artifact.aliases


def test_an_evaluation_leaves_the_configuration_of_the_fit(run: Path, store: Store) -> None:
    before = (run / "config.yaml").read_text()
    arguments = options(store.folder, run.parent.parent, "--ckpt_path=best", "--seed_everything=5")
    assert main(["validate", *arguments[1:]]) == 0
    assert (run / "config.yaml").read_text() == before
    (evaluation,) = (run / "evaluations").iterdir()
    assert yaml.safe_load((evaluation / "config.yaml").read_text())["seed_everything"] == 5


def test_without_an_account_the_message_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ferlit.training import WandbRunLogger; "
            f"WandbRunLogger({str(tmp_path)!r}).log_metrics({{'val/accuracy': 1.0}}, 0)",
        ],
        cwd=ROOT,
        env=environment()
        | {"WANDB_MODE": "online", "HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "ferlit.errors.FerlitError: W&B cannot start a run" in done.stderr
    assert "WANDB_MODE=offline" in done.stderr


def test_agents_of_a_sweep_have_a_folder_and_an_id_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    folders = []
    for number in ("one", "two"):
        monkeypatch.setenv("WANDB_RUN_ID", number)
        folders.append(WandbRunLogger(tmp_path, "run").log_dir)
    assert [Path(folder).name for folder in folders] == ["one", "two"]
    assert Path(WandbRunLogger(tmp_path, "run", "fold_0").log_dir).name == "fold_0"


def test_of_several_processes_the_first_alone_logs(store: Store, tmp_path: Path) -> None:
    more = ("--trainer.devices=2", "--trainer.strategy=ddp", "--trainer.max_epochs=1")
    done = run_command(command(store, tmp_path, "--config=wandb.yaml", *more))
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "ckplus").iterdir()
    (log,) = run.rglob("*.wandb")
    assert [row for row in history(whole_session(log)) if "train/loss" in row]
    assert len(list(run.glob("events*"))) == 1
    assert json.loads((run / "run.json").read_text())["processes"] == 2
