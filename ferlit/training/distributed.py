"""Fits of several processes that torchrun or a cluster has started, each with a rank."""

import logging
import os
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from ferlit.errors import FerlitError, UsageError


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


def own_environment(plugins: Any) -> Any:
    """The plugins of a trainer, to which SLURM's environment is added where it has started us.

    Lightning's own one, at a signal, writes ``hpc_ckpt_1.ckpt`` in the middle of an epoch into the
    working folder, which jobs share, and asks SLURM to start the job again. Here a run goes on by
    ``--ckpt_path``, from its last whole epoch.
    """
    given = plugins if isinstance(plugins, list) else [plugins] if plugins is not None else []
    is_chosen = any(isinstance(each, ClusterEnvironment) for each in given)
    if is_chosen or TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return plugins
    return [*given, SLURMEnvironment(auto_requeue=False)]


def check_requeued(trainer: Trainer) -> None:
    """Refuse checkpoints that Lightning would load within SLURM though nobody names them.

    It takes them for whatever runs in the folder: the fit of another job, or a test.

    Raises:
        FerlitError: there is one.
    """
    folder = Path(trainer.default_root_dir)
    found = sorted(folder.glob("hpc_ckpt_*.ckpt"))
    if found and SLURMEnvironment.detect():
        raise FerlitError(
            f"{found[-1]}: a checkpoint of a job that SLURM stopped, which Lightning would load "
            "here in place of any other; move it away, and go on with --ckpt_path FILE where it is "
            "this run's"
        )


def leave_together() -> None:
    """End gloo's process group when all processes have come here; alone there is nothing to do.

    Lightning ends that of NCCL. One of gloo that is left to the end of the interpreter aborts the
    process now and then, after all its work.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo":
        dist.barrier()
        dist.destroy_process_group()
