"""Fits of several processes that torchrun or a cluster has started, each with a rank."""

import logging
import os

import torch.distributed as dist
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from ferlit.errors import UsageError


def is_first_process() -> bool:
    """Whether this process has rank zero, by what its launcher says."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def quiet_other_processes() -> None:
    """Let only the first process tell how the run goes on; all may warn."""
    if not is_first_process():
        logging.getLogger("ferlit").setLevel(logging.WARNING)


def check_launch(trainer: Trainer) -> None:
    """Refuse a trainer that counts fewer processes than torchrun has started.

    Each of them would train for itself and write a run of its own.

    Raises:
        UsageError: the numbers differ.
    """
    if not TorchElasticEnvironment.detect():
        return
    started = TorchElasticEnvironment().world_size()
    if trainer.world_size != started:
        each, nodes = (os.environ.get(f"{name}_WORLD_SIZE", "1") for name in ("LOCAL", "GROUP"))
        raise UsageError(
            f"torchrun started {started} processes, but the trainer counts {trainer.world_size}; "
            f"give --trainer.devices={each} --trainer.num_nodes={nodes}"
        )


def leave_together() -> None:
    """End gloo's process group when all processes have come here; alone there is nothing to do.

    Lightning ends that of NCCL. One of gloo that is left to the end of the interpreter aborts the
    process now and then, after all its work.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        dist.barrier()
        dist.destroy_process_group()
