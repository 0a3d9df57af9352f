"""Weights from an earlier stage: what fits is taken, what does not is told (Sec. 5.2)."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from ferlit import archives
from ferlit.errors import FerlitError


class WeightReport(NamedTuple):
    """What `load_matching_weights` did.

    Args:
        taken: Names of the tensors that were copied.
        left: Names in the checkpoint that were not, each with the reason.
        new: Names in the model that the checkpoint does not give.
    """

    taken: list[str]
    left: dict[str, str]
    new: list[str]

    def summary(self) -> str:
        """A few lines: counts by module, and what was left with its reason."""
        lines = [
            f"taken: {_by_module(self.taken)}",
            f"new:   {_by_module(self.new)}",
            f"left:  {_by_module(list(self.left))}",
        ]
        shapes = [f"  {name}: {why}" for name, why in self.left.items() if why != _UNKNOWN]
        return "\n".join(lines + shapes)


_CLASS_LAYER = "classification.logits."
_UNKNOWN = "the model has no such weight"


def load_matching_weights(
    model: nn.Module, checkpoint: Path, classes: list[str] | None = None
) -> WeightReport:
    """Copy every tensor of a checkpoint whose name and shape fit the model.

    Args:
        model: Takes the weights.
        checkpoint: A Lightning checkpoint or a plain state dict.
        classes: The model's classes. Where the checkpoint names other ones, or another order, the
            class layer is left even if its shape fits: FER2013 and CK+ both have seven.

    Returns:
        What was taken, left, and is new.

    Raises:
        FerlitError: the file is missing or no checkpoint, or nothing in it fits.
    """
    weights, old_classes = read_checkpoint(checkpoint)
    are_classes_new = None not in (classes, old_classes) and classes != old_classes
    own = model.state_dict()
    left = {}
    for name, value in weights.items():
        if name not in own:
            left[name] = _UNKNOWN
        elif are_classes_new and _CLASS_LAYER in name:
            left[name] = f"its classes are {', '.join(old_classes or [])}"
        elif own[name].shape != value.shape:
            left[name] = f"{tuple(value.shape)} in the checkpoint, {tuple(own[name].shape)} here"
    taken = {name: value for name, value in weights.items() if name not in left}
    if not taken:
        raise FerlitError(
            f"{checkpoint}: nothing in it fits this model; "
            f"it has {', '.join(list(weights)[:3])}, ..., the model {', '.join(list(own)[:3])}, ..."
        )
    model.load_state_dict(taken, strict=False)
    return WeightReport(list(taken), left, [name for name in own if name not in taken])


def read_checkpoint(checkpoint: Path) -> tuple[dict[str, Tensor], list[str] | None]:
    """The tensors of a checkpoint or a state dict by name, and its classes where it names them.

    Raises:
        FerlitError: the file is missing or holds none.
    """
    content = archives.read_checkpoint(checkpoint)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    weights = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    if not weights:
        raise FerlitError(f"{checkpoint}: there are no weights in it")
    return weights, content.get("hyper_parameters", {}).get("classes")


def _by_module(names: list[str]) -> str:
    """Names counted by their first two parts: ``backbone.layers (40)``."""
    counts = Counter(".".join(name.split(".")[:2]) for name in names)
    return ", ".join(f"{module} ({count})" for module, count in counts.items()) or "nothing"
