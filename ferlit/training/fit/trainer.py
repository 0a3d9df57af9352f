"""Lightning's trainer, with a precision that the machine chooses and no requeueing of its own."""

from typing import Any, Literal, cast

import torch
from lightning.fabric.plugins.precision.precision import _PRECISION_INPUT
from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.plugins import _PLUGIN_INPUT

from ferlit.training.distributed import own_environment
from ferlit.training.fit.termination import Termination

AUTO = "auto"
_CPU = ("avx512_bf16", "amx_bf16")  # what a processor calls its instructions for bfloat16


class RunTrainer(Trainer):
    """Lightning's trainer, whose precision may be left to the machine.

    Within SLURM it neither writes nor loads checkpoints that nobody has named, see
    `ferlit.training.distributed.own_environment`; a SIGTERM ends it as `Termination` says.

    Args:
        accelerator: As for Lightning's.
        precision: The same, or "auto", see `chosen_precision`.
        plugins: As for Lightning's.
        **trainer: Lightning's other arguments.

    >>> RunTrainer(accelerator="cpu", logger=False).precision
    '32-true'
    """

    def __init__(
        self,
        *,
        accelerator: str | Accelerator = AUTO,
        precision: _PRECISION_INPUT | Literal["auto"] | None = None,
        plugins: _PLUGIN_INPUT | list[_PLUGIN_INPUT] | None = None,
        **trainer: Any,
    ) -> None:
        chosen = chosen_precision(accelerator) if precision == AUTO else precision
        super().__init__(
            accelerator=accelerator,
            precision=cast("_PRECISION_INPUT | None", chosen),
            plugins=own_environment(plugins),
            **trainer,
        )
        self._signal_connector = self.termination = Termination(self)
        # Lightning asks this before each batch of several processes.
        self.fit_loop.epoch_loop._broadcast_sigterm_tensor = self.termination.agree  # type: ignore[method-assign]


def chosen_precision(accelerator: Any = AUTO) -> Literal["bf16-mixed", "32-true"]:
    """What "auto" stands for: bfloat16 where the device multiplies it at once, else float32.

    Args:
        accelerator: The trainer's, such as "auto", "cpu" or "gpu".

    Returns:
        "bf16-mixed" on a CUDA device of compute capability 8 or higher and on a processor with
        AVX512-BF16 or AMX, else "32-true".

    >>> chosen_precision("tpu")
    '32-true'
    """
    name = str(accelerator)
    if name in (AUTO, "gpu", "cuda") and torch.cuda.is_available():
        is_native = torch.cuda.get_device_capability() >= (8, 0)
    elif name == "cpu" or (name == AUTO and not torch.backends.mps.is_available()):
        is_native = _has_bfloat16()
    else:
        is_native = False
    return "bf16-mixed" if is_native else "32-true"


def _has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; an older torch cannot tell."""
    tell = getattr(torch.cpu, "get_capabilities", dict)
    capabilities: dict[str, Any] = tell()
    return any(capabilities.get(name) for name in _CPU)
