"""What an epoch of stage 1 costs: ``python -m benchmarks.stage1 --store STORE``.

``fer2013.yaml`` trained on a prepared store of FER2013 by ``ferlit fit`` with all that a run does;
two epochs, of which the second is told: images a second from its start to the end of its last
batch, and the shares of the time that it waited for data and that its steps took. Validation and
checkpoints are not in it. Other options are handed to the fit::

    python -m benchmarks.stage1 --store fer2013 --trainer.precision auto
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from benchmarks.epoch import NEXT, STEP, recorded


class Clock(Callback):
    """Tells the images a second of each epoch but the first."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.before = recorded(trainer)
        self.images = 0
        self.started = time.perf_counter()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        if not self.images:
            self.first = time.perf_counter() - self.started
        self.images += len(batch.label)  # type: ignore[attr-defined]

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        self.ended = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.current_epoch:
            return
        seconds = self.ended - self.started
        after = recorded(trainer)
        waiting, step = (100 * (after[name] - self.before[name]) / seconds for name in (NEXT, STEP))
        print(
            f"\n{self.images / seconds:.0f} images a second in {trainer.precision}; the first "
            f"batch after {self.first:.2f} s, waiting for data {waiting:.1f} %, steps {step:.1f} %",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second of stage 1 on FER2013.")
    parser.add_argument("--store", type=Path, required=True, help="of FER2013")
    given, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "ferlit", "fit", "--config", "fer2013.yaml"),
            *("--data.store", str(given.store), "--trainer.max_epochs", "2"),
            *("--trainer.accelerator", "cpu", "--trainer.profiler", "simple"),
            *("--trainer.callbacks+=benchmarks.stage1.Clock", "--trainer.logger.save_dir", folder),
            *options,
        ]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    print(next(line for line in shown.splitlines() if "images a second" in line))


if __name__ == "__main__":
    main()
