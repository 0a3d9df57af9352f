"""Fits of two gloo processes by the command line: what two see and learn, one does.

Without batch normalisation, whose statistics are those of each process's own batch; and trained in
float64, so that only the order of the sums is left to differ.
"""

import copy
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.data.store.manifest import write_manifest
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.runs.folder import RunFolder
from nmloss import AdaptiveNMTupleClustersLoss
from tests.ferlit.tiny import TINY

ROOT = Path(__file__).parents[3]
TWO = ("--trainer.devices=2", "--trainer.strategy=ddp")
JOINT = "--config=systems/2b_nm.yaml"
SOFTMAX = "--config=systems/softmax.yaml"
BRANCHES = "--model.init_args.branches.init_args"
EXACT = (f"{BRANCHES}.norm=none", "--trainer.precision=64-true", "--trainer.max_epochs=2")
SYSTEMS = pytest.mark.parametrize(("system", "unit"), [("2b_nm", 12), ("softmax", 1)])


def run_folder(runs: Path, name: str) -> Path:
    return runs / name / "version_0"


def fit_options(store: Path, runs: Path, name: str, *options: str) -> list[str]:
    return [
        "fit",
        "--config=ckplus.yaml",
        f"--data.store={store}",
        "--data.folds=4",
        "--data.num_workers=0",
        *TINY,
        f"--trainer.logger.save_dir={runs}",
        "--trainer.accelerator=cpu",
        *options,
        f"--trainer.logger.init_args.name={name}",
        "--trainer.callbacks+=tests.ferlit.recording.RecordBatches",
        f"--trainer.callbacks.init_args.folder={runs / name / 'batches'}",
    ]


def start(options: list[str], torchrun: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    """Start ``ferlit fit``, by torchrun where its options are given."""
    launcher = ("-m", "torch.distributed.run", *torchrun) if torchrun else ()
    paths = {"PYTHONPATH": os.pathsep.join(["nmloss/src", "."]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "ferlit", *options],
        cwd=ROOT,
        env=os.environ | paths,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes: "subprocess.Popen[str]") -> list[str]:
    """Wait for all; what each printed."""
    outputs = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return ["".join(output) for output in outputs]


def curve(runs: Path, name: str) -> pd.DataFrame:
    """The losses of ``metrics.csv``, an epoch a row."""
    logged = pd.read_csv(run_folder(runs, name) / "metrics.csv")
    losses = [column for column in logged if column.endswith(("/loss", "/metric", "/softmax"))]
    return logged.groupby("epoch")[losses].first()


def checkpoint(runs: Path, name: str) -> dict[str, Any]:
    path = run_folder(runs, name) / "checkpoints" / "last.ckpt"
    content: dict[str, Any] = torch.load(path, weights_only=True)
    return content


def batches(runs: Path, name: str) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Epoch and step -> images and rows of every rank."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for path in sorted((runs / name / "batches").iterdir()):
        found.setdefault(path.stem[:-2], []).append(torch.load(path))
    return found


@pytest.fixture(scope="module")
def printed() -> dict[str, list[str]]:
    """What the processes of the fits printed."""
    return {}


@pytest.fixture(scope="module")
def runs(
    store: Store, tmp_path_factory: pytest.TempPathFactory, printed: dict[str, list[str]]
) -> Path:
    """Each system twice: alone with twice the batch, and by two processes.

    Those of 2b_nm are Lightning's own, those of softmax two machines as torchrun knows them.
    """
    runs = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def options(name: str, *more: str) -> list[str]:
        return fit_options(store.folder, runs, name, *more, *EXACT)

    assert main(options("2b_nm alone", JOINT, "--data.tuples_per_batch=12")) == 0
    assert main(options("softmax alone", SOFTMAX, "--data.batch_size=20")) == 0
    printed["2b_nm"] = finish(start(options("2b_nm", JOINT, "--data.tuples_per_batch=6", *TWO)))
    nodes = ("--trainer.num_nodes=2", "--trainer.devices=1", "--trainer.strategy=ddp")
    place = ("--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}")
    machines = [
        start(
            options("softmax", SOFTMAX, "--data.batch_size=10", *nodes),
            torchrun=(*place, f"--node-rank={number}"),
        )
        for number in range(2)
    ]
    printed["softmax"] = finish(*machines)
    return runs


@SYSTEMS
def test_two_processes_see_the_pixels_of_one(runs: Path, system: str, unit: int) -> None:
    alone, shared = batches(runs, f"{system} alone"), batches(runs, system)
    assert alone.keys() == shared.keys()
    assert {name[0] for name in alone} == {"0", "1"}
    for step, [(images, rows)] in alone.items():
        parts = zip(*shared[step], strict=True)
        their_images, their_rows = (
            torch.stack([part.unflatten(0, (-1, unit)) for part in kind], dim=1).flatten(0, 2)
            for kind in parts
        )
        assert torch.equal(their_rows, rows)
        assert torch.equal(their_images, images)


@SYSTEMS
def test_two_processes_learn_what_one_learns(runs: Path, system: str, unit: int) -> None:
    alone, shared = curve(runs, f"{system} alone"), curve(runs, system)
    assert len(alone) == 2
    # Evaluation is in float32.
    pd.testing.assert_frame_equal(alone, shared, rtol=1e-5)
    training = [column for column in alone if column.startswith("train/")]
    pd.testing.assert_frame_equal(alone[training], shared[training], rtol=1e-9)
    first, second = (checkpoint(runs, name) for name in (f"{system} alone", system))
    torch.testing.assert_close(second["state_dict"], first["state_dict"], rtol=0, atol=1e-9)
    assert second["global_step"] == first["global_step"]


def test_two_processes_go_on_where_they_were_stopped(
    runs: Path, store: Store, tmp_path: Path
) -> None:
    options = (JOINT, "--data.tuples_per_batch=6", *TWO, *EXACT)
    first = fit_options(store.folder, tmp_path, "2b_nm", *options, "--trainer.max_epochs=1")
    finish(start(first))
    last = run_folder(tmp_path, "2b_nm") / "checkpoints" / "last.ckpt"
    finish(start(fit_options(store.folder, tmp_path, "2b_nm", *options, f"--ckpt_path={last}")))
    tables = [run_folder(place, "2b_nm") / "metrics.csv" for place in (runs, tmp_path)]
    assert tables[0].read_text() == tables[1].read_text()
    whole, resumed = (checkpoint(place, "2b_nm")["state_dict"] for place in (runs, tmp_path))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_parameters_of_the_metric_loss_learn_alike_too(runs: Path) -> None:
    """They are in the comparison above; here that they are there, and moved."""
    state = checkpoint(runs, "2b_nm")["state_dict"]
    for name, start in AdaptiveNMTupleClustersLoss(128).named_parameters():
        assert (state[f"metric_loss.{name}"] - start).abs().max() > 1e-4


def test_the_first_process_alone_tells_how_it_goes(
    runs: Path, printed: dict[str, list[str]]
) -> None:
    [together] = printed["2b_nm"]
    first, second = printed["softmax"]
    for text in (together, first):
        assert text.count("epoch 1/2") == 1
        assert text.count("images: train") == 1
        assert text.count("image accuracy") == 1
    assert second.strip() == ""
    assert [folder.name for folder in (runs / "softmax").glob("version_*")] == ["version_0"]


def test_an_uneven_last_batch_leaves_nobody_waiting(store: Store, tmp_path: Path) -> None:
    """71 queries by 2 x 7 tuples; also in half precision and two batches a step, by torchrun."""
    folder = Path(shutil.copytree(store.folder, tmp_path / "store"))
    records = pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)
    person = records.groupby("identity").ngroup()  # eight, of 18 images each
    records["split"] = person.map(
        lambda number: "train" if number < 4 else ["val", "test"][number % 2]
    )
    records.loc[records.index[0], "split"] = ""
    records.to_csv(folder / "records.csv", index=False)
    write_manifest(folder)
    options = (
        "--data.fold=null",
        "--data.tuples_per_batch=7",
        "--trainer.precision=bf16-mixed",
        *TWO,
    )
    more = ("--trainer.accumulate_grad_batches=2", "--trainer.max_epochs=1")
    odd = fit_options(folder, tmp_path, "odd", *options, *more)
    finish(start(odd, torchrun=("--nproc-per-node=2",)))
    steps = batches(tmp_path, "odd")
    assert [[len(rows) // 12 for _, rows in ranks] for ranks in steps.values()] == (
        [[7, 7]] * 5 + [[1, 1]]
    )
    queries = [int(row) for ranks in steps.values() for _, rows in ranks for row in rows[::12]]
    assert (len(queries), len(set(queries))) == (72, 71)
    assert checkpoint(tmp_path, "odd")["global_step"] == 3
    assert RunFolder(run_folder(tmp_path, "odd")).is_finished


@pytest.mark.parametrize("is_in_a_step", [False, True])
def test_a_terminated_fit_of_two_ends_and_says_how_to_go_on(
    store: Store, tmp_path: Path, is_in_a_step: bool
) -> None:
    options = ["--trainer.max_epochs=10000", *TWO]
    if is_in_a_step:
        options.append("--trainer.callbacks+=tests.ferlit.recording.TerminateInStep")
    running = start(fit_options(store.folder, tmp_path, "long", *options))
    last = run_folder(tmp_path, "long") / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while not last.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if not is_in_a_step:
        running.send_signal(signal.SIGTERM)
    try:
        _, errors = running.communicate(timeout=60)
    finally:
        running.terminate()
    assert running.returncode == 130, errors
    assert errors.count("interrupted; to go on:\n  ferlit fit") == 1
    # The other process may complain of the lost connection before or after it.
    assert any(line.endswith(f"--ckpt_path {last}") for line in errors.splitlines())
    assert not RunFolder(run_folder(tmp_path, "long")).is_finished


def test_synchronised_batch_normalisation_without_a_gpu_is_explained(
    store: Store, tmp_path: Path
) -> None:
    options = ("--trainer.sync_batchnorm=true", "--trainer.strategy=ddp", "--trainer.devices=1")
    running = start(fit_options(store.folder, tmp_path, "sync", *options))
    _, errors = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "SyncBatchNorm layers only work with GPU modules" in errors
    assert "Traceback" not in errors


def test_averaged_weights_have_the_counts_of_both_processes(store: Store, tmp_path: Path) -> None:
    """With a decay of 0 the average is the last weights, so that it can be counted by hand."""
    averaged = (
        "--trainer.callbacks+=ferlit.training.AveragedWeights",
        "--trainer.callbacks.decay=0",
    )
    options = fit_options(
        store.folder, tmp_path, "averaged", SOFTMAX, "--trainer.max_epochs=2", *averaged, *TWO
    )
    finish(start(options))
    seen = {
        step: ranks
        for step, ranks in batches(tmp_path, "averaged").items()
        if step.startswith("1-")
    }
    assert seen
    module = load_classifier(run_folder(tmp_path, "averaged") / "checkpoints" / "last.ckpt").module  # type: ignore[attr-defined]
    counted = []
    for rank in range(2):
        twin = copy.deepcopy(module)
        layers = [layer for layer in twin.modules() if isinstance(layer, nn.BatchNorm1d)]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
        with torch.no_grad():
            for ranks in seen.values():
                twin(ranks[rank][0])
        counted.append([layer.running_mean for layer in layers])
    saved = [each for each in module.modules() if isinstance(each, nn.BatchNorm1d)]
    for layer, first, second in zip(saved, *counted, strict=True):
        torch.testing.assert_close(layer.running_mean, (first + second) / 2, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(first, second, rtol=1e-3)
