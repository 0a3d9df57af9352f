"""A SIGTERM to all processes of a run ends its loaders' workers as well, which is no failure."""

import contextlib
import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class EndWithWorkers(Callback):
    """At a SIGTERM the main process stops to watch over its loaders' workers.

    PyTorch raises "DataLoader worker is killed" wherever the main process is when one ends, in a
    destructor too, where it becomes a traceback that nobody can catch. Lightning ends the run at
    the next batch, as it does after a SIGTERM to the main process alone.
    """

    def __init__(self) -> None:
        self._next: Any = None  # Lightning's handler

    # Lightning, which puts former handlers back at the end, has its own in place by each of these.

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_over()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_over()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_over()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_over()

    def _take_over(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)
        if hasattr(signal, "SIGCHLD") and callable(before) and before != self._stop_watching:
            self._next = before
            signal.signal(signal.SIGTERM, self._stop_watching)

    def _stop_watching(self, number: int, frame: FrameType | None) -> None:
        while signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
            with contextlib.suppress(RuntimeError):  # a worker has ended already
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._next(number, frame)
