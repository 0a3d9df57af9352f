"""A SIGTERM, which ends a run after the batch in which all its processes know of it."""

import contextlib
import signal
from types import FrameType

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.connectors.signal_connector import _SIGNUM, _SignalConnector
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import SIGTERMException


class Termination(_SignalConnector):
    """Lightning's handling of signals, with another way to end at a SIGTERM.

    Lightning's handler talks to the other processes at once, between two exchanges of the training,
    which each of them is in by itself: now and then all wait for one another for ever. Here the
    handler makes a note, and the processes of a fit compare notes before each batch of the
    training, so that all stop at the same one. A test, which has no such place, stops by itself.

    The main process also stops to watch over its loaders' workers, which a SIGTERM to all processes
    ends as well: PyTorch raises "DataLoader worker is killed" wherever the main process then is, in
    a destructor too, where it becomes a traceback that nobody can catch.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self.is_asked = False  # whether this process has got a SIGTERM

    def _sigterm_notifier_fn(self, signum: _SIGNUM, _: FrameType) -> None:
        self._leave_workers_alone()
        launcher = self.trainer.strategy.launcher
        if not self.is_asked and launcher is not None:
            launcher.kill(signum)
        self.is_asked = True
        is_fit = self.trainer.state.fn == TrainerFn.FITTING
        self.received_sigterm = not (is_fit and _are_several())

    def agree(self) -> None:
        """Compare the notes of all processes of a fit.

        Raises:
            SIGTERMException: one of them at least was asked to end, and so all do.
        """
        asked = torch.tensor(int(self.is_asked), device=self.trainer.strategy.root_device)
        dist.all_reduce(asked, op=dist.ReduceOp.MAX)
        if asked:
            self.received_sigterm = True
            with contextlib.suppress(RuntimeError):  # one of them is lost
                dist.barrier()
            raise SIGTERMException

    @staticmethod
    def _leave_workers_alone() -> None:
        if not hasattr(signal, "SIGCHLD"):
            return
        while signal.getsignal(signal.SIGCHLD) is not signal.SIG_DFL:
            with contextlib.suppress(RuntimeError):  # a worker has ended already
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _are_several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
