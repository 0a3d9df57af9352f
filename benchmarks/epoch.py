"""What an epoch costs beside the network: ``python -m benchmarks.epoch``.

System 2b_nm, 12 x (6 + 6) faces a batch, trained by ``ferlit fit`` on synthetic people with all
that a run does. After each epoch, in the same process, a bare loop makes as many steps of backbone
and branches (forward, backward, optimiser) on random tensors of the same shapes, and another one
with the joint loss. The first epoch warms up; of the others the medians are told. Validation and
checkpoints between epochs are not in the time.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import SimpleProfiler
from rich.console import Console
from torch import Tensor

from ferlit.data.databases import find_database
from ferlit.data.loading.dataset import Batch
from ferlit.data.preparation import prepare_store
from ferlit.data.synthetic import write_ckplus
from ferlit.models import Output
from ferlit.training import JointModule
from ferlit.training.fit.command import main
from nmloss import tuple_indices

POSITIVES = NEGATIVES = 6
SIZE = POSITIVES + NEGATIVES
NEXT = "[_TrainingEpochLoop].train_dataloader_next"
STEP = "run_training_batch"
TARGET = 0.1


class Seconds(NamedTuple):
    """Of one epoch.

    Args:
        epoch: From its start to the end of its last batch.
        waiting: Of that, the start of the workers and the waits for a batch.
        step: Of that, forward, backward and optimiser, with the logging in them.
        callbacks: Of that, all callbacks.
        network: The bare loop.
        joint: The bare loop with the joint loss.
    """

    epoch: float
    waiting: float
    step: float
    callbacks: float
    network: float
    joint: float


class Measure(Callback):
    """Measures each epoch of a fit, and the bare loops after it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.measured: list[Seconds] = []
        self.started = self.ready = self.ended = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sizes = []
        self.before = recorded(trainer)
        self.started = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        if not self.sizes:
            self.ready = time.perf_counter()
            self.first_wait = recorded(trainer)[NEXT] - self.before[NEXT]
        self.sizes.append(len(batch.label))

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        self.ended = time.perf_counter()
        self.after = recorded(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        spent = {name: self.after[name] - self.before[name] for name in self.after}
        module = cast("JointModule", pl_module)
        self.measured.append(
            Seconds(
                epoch=self.ended - self.started,
                waiting=self.ready - self.started + spent[NEXT] - self.first_wait,
                step=spent[STEP],
                callbacks=spent["callbacks"],
                network=loop(module, self.sizes, cheapest_loss),
                joint=loop(module, self.sizes, joint_loss),
            )
        )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        report(self.measured[1:], len(self.sizes))


def recorded(trainer: Trainer) -> dict[str, float]:
    """Seconds so far in what the profiler knows: waits, steps, and the callbacks together."""
    durations = cast("SimpleProfiler", trainer.profiler).recorded_durations  # type: ignore[attr-defined]
    callbacks = [
        sum(values)
        for name, values in durations.items()
        # This callback's own work is no cost of an epoch.
        if name.startswith("[Callback]") and not name.startswith(f"[Callback]{Measure.__name__}.")
    ]
    return {NEXT: sum(durations[NEXT]), STEP: sum(durations[STEP]), "callbacks": sum(callbacks)}


def cheapest_loss(_: JointModule, output: Output, label: Tensor) -> Tensor:
    """Reaches every weight of the network and costs nearly nothing."""
    return output.logits.square().mean() + output.embedding.square().mean()


def joint_loss(module: JointModule, output: Output, label: Tensor) -> Tensor:
    tuples = tuple_indices(len(label) // SIZE, POSITIVES, NEGATIVES)
    metric: Tensor = module.metric_loss(output.embedding, label, tuples)
    return F.cross_entropy(output.logits[::SIZE], label[::SIZE]) + module.alpha * metric


def loop(
    module: JointModule, sizes: list[int], loss: Callable[[JointModule, Output, Tensor], Tensor]
) -> float:
    """Seconds of a bare loop on a copy of the module, whose own weights stay as they are."""
    twin = copy.deepcopy(module.backbone), copy.deepcopy(module.branches)
    parameters = [*twin[0].parameters(), *twin[1].parameters(), *module.metric_loss.parameters()]
    optimizer = module.optimizer([weight for weight in parameters if weight.requires_grad])
    kept = copy.deepcopy(module.metric_loss.state_dict())
    images = torch.randn(max(sizes), 1, 48, 48)
    label = torch.arange(max(sizes)) % len(module.classes)
    start = time.perf_counter()
    for size in sizes:
        optimizer.zero_grad()
        output: Output = twin[1](twin[0](images[:size]))
        loss(module, output, label[:size]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    seconds = time.perf_counter() - start
    module.metric_loss.load_state_dict(kept)
    return seconds


def report(measured: list[Seconds], steps: int) -> None:
    """Print the medians, each also as a share of the epoch."""
    of = Seconds(*(median(values) for values in zip(*measured, strict=True)))
    elsewhere = median(1 - each.network / each.epoch for each in measured)
    in_loss = of.joint - of.network
    rest = of.epoch - of.waiting - of.step - of.callbacks
    lines = {
        "epoch": of.epoch,
        "bare network": of.network,
        "waiting for data": of.waiting,
        "joint loss": in_loss,
        "callbacks": of.callbacks,
        "slower steps (logging, metrics, loaders on the same cores)": of.step - of.joint,
        "Lightning's loop": rest,
    }
    console = Console()
    console.print(f"medians of {len(measured)} epochs of {steps} steps")
    for name, seconds in lines.items():
        share = f"{100 * seconds / of.epoch:5.1f} %"
        console.print(f"{1e3 * seconds / steps:8.1f} ms a step  {share}  {name}", highlight=False)
    epochs = ", ".join(f"{100 * (1 - each.network / each.epoch):.1f}" for each in measured)
    console.print(
        f"spent elsewhere: {100 * elsewhere:.1f} % (target below {100 * TARGET:.0f} %; "
        f"epoch by epoch {epochs})",
        highlight=False,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What an epoch costs beside the network.")
    parser.add_argument("--epochs", type=int, default=5, help="beside the first (default: 5)")
    parser.add_argument("--workers", type=int, default=2, help="that load data (default: 2)")
    parser.add_argument("--steps", type=int, default=24, help="an epoch, at most 24 (default)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_ckplus(folder / "tree", subjects=24, seed=0)
        prepare_store(find_database("ckplus"), folder / "tree", folder / "store")
        main(
            "fit",
            [
                "--config=ckplus.yaml",
                f"--data.store={folder / 'store'}",
                "--data.folds=6",
                f"--data.num_workers={given.workers}",
                f"--trainer.max_epochs={given.epochs + 1}",
                f"--trainer.limit_train_batches={given.steps}",
                "--trainer.accelerator=cpu",
                "--trainer.profiler=simple",
                "--trainer.callbacks+=benchmarks.epoch.Measure",
                f"--trainer.logger.save_dir={folder / 'runs'}",
            ],
        )
