"""How the settings of two fits differ, by name."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

_COSINE = "torch.optim.lr_scheduler.CosineAnnealingLR"
_OWN_COSINE = "ferlit.training.CosineAnnealingLR"
_MORE_ARGUMENTS = "dict_kwargs"  # where jsonargparse puts those that a class takes by **
_DATACLASSES = ("augment",)  # arguments whose own names are known, as a class's are


class Change(NamedTuple):
    """A setting with another value.

    Args:
        path: The names that lead to it, joined by dots.
        old: What it was.
        new: What it is.
    """

    path: str
    old: Any
    new: Any

    @property
    def name(self) -> str:
        """Without ``init_args``, as on the command line."""
        return self.path.replace(".init_args", "")

    def __str__(self) -> str:
        return f"{self.name}: {short(self.old)} there, {short(self.new)} now"


def changes(old: Any, new: Any, path: str = "", *, is_free: bool = False) -> list[Change]:
    """What differs; settings that only one of the two versions of ferlit knows do not count.

    Args:
        old: A configuration, or a part of one.
        new: Another.
        path: Of the part.
        is_free: Whether the names in it are the user's own; one that only one of the two has counts
            then.

    >>> old = {"lr": {"class_path": "SGD", "init_args": {"lr": 0.1, "nesterov": False}}}
    >>> new = {"lr": {"class_path": "SGD", "init_args": {"lr": 0.2, "dampening": 0}}, "more": 1}
    >>> [str(change) for change in changes(old, new)]
    ['lr.lr: 0.1 there, 0.2 now']
    >>> old, new = ({"data": {"init_args": {"reader": each}}} for each in ({}, {"votes": "all"}))
    >>> [str(change) for change in changes(old, new)]
    ['data.reader.votes: None there, all now']
    """
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return [] if _same(old, new) else [Change(path, old, new)]
    if old.get("class_path") != new.get("class_path"):
        return [Change(path, old, new)]
    found: list[Change] = []
    if is_free:  # a JSON file has made texts of numbers
        old, new = ({str(key): value for key, value in each.items()} for each in (old, new))
    keys = old.keys() | new.keys() if is_free else old.keys() & new.keys()
    for key in keys | ({_MORE_ARGUMENTS} & (old.keys() | new.keys())):
        absent: Any = {} if key == _MORE_ARGUMENTS else None
        one, other = old.get(key, absent), new.get(key, absent)
        is_of_class = any(
            isinstance(each, Mapping) and "class_path" in each for each in (one, other)
        )
        is_argument = is_free or path.rpartition(".")[2] == "init_args"
        found += changes(
            one,
            other,
            f"{path}.{key}".lstrip("."),
            is_free=key == _MORE_ARGUMENTS
            or (is_argument and not is_of_class and key not in _DATACLASSES),
        )
    return sorted(found, key=lambda change: change.name)


def changes_beside(old: Any, new: Any, free: Iterable[str]) -> list[Change]:
    """What differs beside the settings of some names, and those below them."""
    found = changes(old, new)
    may = named(found, free)
    return [change for change in found if change not in may]


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names that lead to them, from their paths.

    >>> nested({"trainer.max_epochs": 3, "trainer.devices": 1, "data": {"fold": 0}})
    {'trainer': {'max_epochs': 3, 'devices': 1}, 'data': {'fold': 0}}
    """
    found: dict[str, Any] = {}
    for path, value in flat.items():
        *names, last = path.split(".")
        inner = found
        for name in names:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return found


def named(found: Iterable[Change], names: Iterable[str]) -> list[Change]:
    """Those of some names, or below them."""
    chosen = tuple(names)
    return [
        change
        for change in found
        if any(change.name == name or change.name.startswith(f"{name}.") for name in chosen)
    ]


def with_own_cosine(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose cosine of torch is written as the shipped ones write it now.

    Its length is then None where it is that of the training.

    >>> old = {"class_path": _COSINE, "init_args": {"T_max": 60, "eta_min": 0.0, "last_epoch": -1}}
    >>> config = {"model": {"init_args": {"lr_scheduler": old}}, "trainer": {"max_epochs": 60}}
    >>> with_own_cosine(config)["model"]["init_args"]["lr_scheduler"]["init_args"]
    {'T_max': None, 'eta_min': 0.0}
    """
    model = config.get("model") or {}
    arguments = model.get("init_args") or {}
    schedule = arguments.get("lr_scheduler")
    epochs = (config.get("trainer") or {}).get("max_epochs")
    if not isinstance(schedule, Mapping):
        return dict(config)
    given = schedule.get("init_args") or {}
    if schedule.get("class_path") != _COSINE:
        return dict(config)
    length = given.get("T_max")
    own = {
        "class_path": _OWN_COSINE,
        "init_args": {
            "T_max": None if length == epochs else length,
            "eta_min": given.get("eta_min", 0.0),
        },
    }
    return {**config, "model": {**model, "init_args": {**arguments, "lr_scheduler": own}}}


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(
            not changes(one, other) for one, other in zip(old, new, strict=True)
        )
    return bool(old == new)


def short(value: Any) -> str:
    """For people: a class without its arguments."""
    if isinstance(value, Mapping) and "class_path" in value:
        return str(value["class_path"]).rpartition(".")[2]
    return str(value)
