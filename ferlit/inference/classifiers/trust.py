"""Which classes a checkpoint may name: to find a class its module is imported, which runs it."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ferlit.errors import FerlitError

TRUSTED = ("ferlit", "nmloss", "torch.nn", "torch.optim", "pytorch_metric_learning")
VARIABLE = "FERLIT_TRUST"
_KINDS = (nn.Module, Optimizer, LRScheduler)
_FUNCTIONS = ("ferlit.training.modules.adam",)  # the optimiser where a configuration names none
_INSTANTIATORS = ("lightning.pytorch.cli.instantiate_module",)
_NOT_BUILT = ("classes", "init_from", "_instantiator")  # settings that name no class to build
# What is in none of these could be read as YAML, and name a class there.
_HARMLESS = re.compile(r"[\w+\-/~ ,()=.]*")


def check_class_paths(path: Path, settings: Mapping[str, Any], trust: Sequence[str] = ()) -> None:
    """See that the settings of a network name only classes that may be built.

    Those of ferlit, nmloss, torch.nn, torch.optim and pytorch-metric-learning may: networks,
    losses, optimisers and schedules, no function. Of what the user trusts everything may.

    Args:
        path: The checkpoint, for the message.
        settings: Its hyper-parameters, as Lightning's command line wrote them.
        trust: Modules, with all in them; those in the variable ``FERLIT_TRUST``, with commas
            between them, are trusted as well.

    Raises:
        FerlitError: they name something else; nothing of it was imported.

    >>> check_class_paths(Path("a.ckpt"), {"backbone": {"class_path": "mine.Net"}})
    Traceback (most recent call last):
        ...
    ferlit.errors.FerlitError: a.ckpt: a checkpoint of mine.Net, which is not here
    """
    instantiator = settings.get("_instantiator", _INSTANTIATORS[0])
    if instantiator not in _INSTANTIATORS:
        raise FerlitError(f"{path}: it would be built by {instantiator}, not by Lightning")
    trusted = [*trust, *filter(None, os.environ.get(VARIABLE, "").split(","))]
    kept = {name: value for name, value in settings.items() if name not in _NOT_BUILT}
    for text in _texts(kept):
        if _HARMLESS.fullmatch(text) is None:
            raise FerlitError(f"{path}: its settings hold {text!r:.80}, which could name any code")
        # A path such as a/b.c cannot be imported; a name such as a.b c is, up to its last dot.
        if "." in text and text.split(".")[0].isidentifier():
            _check(path, text, trusted)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _texts(inner)


def _check(path: Path, name: str, trusted: Sequence[str]) -> None:
    if _is_within(name, trusted):
        return
    root = name.split(".")[0]
    if not _is_within(name, TRUSTED) or "__" in name or not _is_installed(root):
        if root not in sys.modules and find_spec(root) is None:
            raise FerlitError(f"{path}: a checkpoint of {name}, which is not here")
        raise FerlitError(
            f"{path}: its network has {name}, which is no module of ferlit's kind; building it "
            f"runs its code: if you trust that, say so by --trust {root}"
        )
    found = find_class(path, name)
    is_kind = isinstance(found, type) and issubclass(found, _KINDS)
    if name not in _FUNCTIONS and not (is_kind and _is_within(found.__module__, TRUSTED)):
        raise FerlitError(
            f"{path}: its network has {name}, which is no network, loss, optimiser or schedule"
        )


def find_class(path: Path, name: str) -> Any:
    """What a checkpoint names, once `check_class_paths` has let it pass.

    Raises:
        FerlitError: it is not here.
    """
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise FerlitError(f"{path}: a checkpoint of {name}, which is not here ({error})") from error


def _is_within(name: str, modules: Sequence[str]) -> bool:
    return any(f"{name}.".startswith(f"{module.strip()}.") for module in modules)


def _is_installed(root: str) -> bool:
    """Whether a package is no folder that merely lies where the command was started."""
    if root in sys.modules:
        return True
    spec = find_spec(root)
    parts = () if spec is None or spec.origin is None else Path(spec.origin).parts
    return not {"site-packages", "dist-packages"}.isdisjoint(parts)
