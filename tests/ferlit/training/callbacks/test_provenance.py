import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas as pd
import pytest
import torch

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.data.store.manifest import MANIFEST, checksum
from ferlit.runs.environment import describe_environment, git_revision
from ferlit.runs.folder import RunFolder
from tests.ferlit.training.fits import ROOT, environment, fit_options


def start_fit(store: Store, runs: Path, *more: str) -> Path:
    """A fit of two epochs in a process of its own; the run's folder."""
    options = fit_options(store.folder, runs, "--trainer.max_epochs=2", *more)
    subprocess.run(
        [sys.executable, "-m", "ferlit", *options],
        cwd=ROOT,
        env=environment() | {"OMP_NUM_THREADS": "1", "WANDB_API_KEY": "a secret"},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=180,
    )
    return runs / "ckplus" / "version_0"


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_fit(store, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def content(run: Path) -> dict[str, Any]:
    return RunFolder(run).record()


def test_same_seed_same_numbers_in_another_process_with_other_workers(
    run: Path, store: Store, tmp_path: Path
) -> None:
    again = start_fit(store, tmp_path, "--data.num_workers=2")
    for name in ("metrics.csv", "metrics.json", "predictions.csv"):
        assert (again / name).read_bytes() == (run / name).read_bytes()
    for name in ("best", "last"):
        first, second = (
            torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
            for folder in (run, again)
        )
        assert first.keys() == second.keys()
        assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_the_split_the_store_and_the_seeds_are_recorded(
    content: dict[str, Any], store: Store
) -> None:
    assert content["seeds"] == {"seed_everything": 0, "data": 0}
    assert (content["fold"], content["folds"]) == (0, 4)
    assert content["store"] == {
        "folder": str(store.folder),
        "database": "ckplus",
        "images": len(store.records),
        "fingerprint": store.description.fingerprint,
        "content": store.content,
        "manifest_sha256": checksum(store.folder / MANIFEST),
        "landmarks": "database",
        "reader": {},
    }
    assert content["command"][1:3] == ["fit", "--config=ckplus.yaml"]


def test_packages_devices_and_variables_are_recorded(content: dict[str, Any]) -> None:
    assert content["packages"]["torch"] == torch.__version__
    assert content["packages"]["numpy"] == numpy.__version__
    assert content["packages"].keys() >= {"lightning", "nmloss", "ferlit", "albumentations"}
    assert content["python"] == ".".join(map(str, sys.version_info[:3]))
    assert content["devices"][0].startswith("cpu: ")
    assert content["threads"] == 1
    assert content["variables"]["OMP_NUM_THREADS"] == "1"
    assert "a secret" not in json.dumps(content)


def test_the_end_and_the_seconds_are_recorded(run: Path, content: dict[str, Any]) -> None:
    assert RunFolder(run).is_finished
    assert content["started"] <= content["finished"]
    assert content["seconds"] > 0
    assert content["resumed_from"] == []


def test_a_resumed_run_lists_what_it_went_on_from(
    run: Path, store: Store, content: dict[str, Any]
) -> None:
    options = fit_options(store.folder, run.parent.parent, "--ckpt_path=last")
    assert main([*options, "--trainer.max_epochs=3"]) == 0
    resumed = RunFolder(run).record()
    assert resumed["started"] == content["started"]
    (step,) = resumed["resumed_from"]
    assert step["checkpoint"] == str(run / "checkpoints" / "last.ckpt")
    assert step["command"] == content["command"]
    assert resumed["seconds"] > resumed["earlier_seconds"] > 0
    assert pd.read_csv(run / "metrics.csv")["epoch"].max() == 2


def git(folder: Path, *options: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *names, "-C", str(folder), *options], check=True, capture_output=True)


def test_the_revision_says_whether_files_differ(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "one")
    clean = git_revision(tmp_path)
    assert clean is not None
    assert len(clean["revision"]) == 40
    assert not clean["is_dirty"]
    (tmp_path / "file").write_text("two")
    assert git_revision(tmp_path) == clean | {"is_dirty": True}


def test_outside_a_repository_and_without_git_there_is_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision(tmp_path) is None
    monkeypatch.setenv("PATH", os.devnull)
    assert describe_environment()["git"] == {"ferlit": None, "folder": None}


def test_a_damaged_record_is_no_end(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert not run.is_finished
    run.write_record({"clock": 0.0, "earlier_seconds": 1.0})
    assert not run.is_finished
    run.mark_finished()
    assert run.is_finished
    content = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(content[:-5])
    assert not run.is_finished
