"""The plan of a chain of stages: the file, the options of each stage, and what they amount to."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ferlit.configurations import read_config
from ferlit.errors import FerlitError, UsageError
from ferlit.training.fit.options import resolve

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_DATA = ("root", "store")  # the arguments of a data module that name its data
_FOLDER = "{output}"


@dataclass(frozen=True)
class Stage:
    """One fit of the chain.

    Args:
        number: Its place in the file, from 1.
        name: What the command line calls it.
        configs: Its configurations, a later one over an earlier one.
        options: Its options of ``ferlit fit`` by name, without dashes.
    """

    number: int
    name: str
    configs: tuple[str, ...]
    options: Mapping[str, str]

    @property
    def title(self) -> str:
        """The name of its folder."""
        return f"{self.number}_{self.name}"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that its fit would take.

        Raises:
            UsageError: the fit would refuse its options.
        """
        return resolve(self.arguments(), f"stage {self.name}")

    @property
    def has_data(self) -> bool:
        """Whether an option or a configuration names its data."""
        options = self.settings["data"].get("init_args") or {}
        return any(options.get(name) for name in _DATA)

    def arguments(self) -> tuple[str, ...]:
        """What follows ``ferlit fit``."""
        configs = [f"--config={name}" for name in self.configs]
        return (*configs, *(f"--{name}={value}" for name, value in self.options.items()))


def read_plan(path: Path) -> list[Stage]:
    """The stages of a file, in order.

    Raises:
        FerlitError: the file is missing or is no plan of stages.

    >>> from ferlit.configurations import find_config
    >>> [stage.name for stage in read_plan(find_config("stages/ckplus.yaml"))]
    ['fer2013', 'multipie', 'ckplus']
    """
    content = read_config(path)
    entries = content.get("stages")
    if set(content) != {"stages"} or not isinstance(entries, list) or not entries:
        raise FerlitError(f"{path}: expected the one key stages, with a list of stages")
    stages = [_read_stage(path, number, entry) for number, entry in enumerate(entries, 1)]
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise FerlitError(f"{path}: two stages are called {name}; give each its own name")
    return stages


def apply_options(stages: Sequence[Stage], given: Mapping[str, str], output: Path) -> list[Stage]:
    """Give each stage what the command line has for it.

    Args:
        stages: As the file has them.
        given: Options by name: ``roots.NAME`` and ``stage.NAME.OPTION`` are for one stage, all
            others for every one; they win in the order others, roots, stage.
        output: Takes the place of ``{output}`` in the file's options.

    Raises:
        UsageError: a stage of that name is not in the file, or a root is no folder.

    >>> stages = [Stage(1, "one", (), {}), Stage(2, "two", (), {})]
    >>> given = {"trainer.max_epochs": "9", "stage.two.trainer.max_epochs": "3"}
    >>> [stage.arguments() for stage in apply_options(stages, given, Path("out"))]
    [('--trainer.max_epochs=9',), ('--trainer.max_epochs=3',)]
    """
    common: dict[str, str] = {}
    own: dict[str, dict[str, str]] = {stage.name: {} for stage in stages}
    roots: dict[str, str] = {}
    for option, value in given.items():
        kind, _, rest = option.partition(".")
        name, _, key = rest.partition(".")
        if kind not in ("roots", "stage"):
            common[option] = value
            continue
        check_names(stages, [name], f"--{option}")
        if bool(key) != (kind == "stage"):
            raise UsageError(f"--{option}: expected --roots.NAME DIR or --stage.NAME.OPTION VALUE")
        if kind == "stage":
            own[name][key] = value
        elif Path(value).exists():
            roots[name] = str(Path(value).absolute())
        else:
            raise UsageError(f"--{option} {value}: there is no such folder")
    applied = []
    for stage in stages:
        options = {key: text.replace(_FOLDER, str(output)) for key, text in stage.options.items()}
        root = {"data.root": roots[stage.name]} if stage.name in roots else {}
        applied.append(replace(stage, options=options | common | root | own[stage.name]))
    return applied


def check_names(stages: Sequence[Stage], names: Sequence[str], option: str) -> None:
    """See that stages of these names are in the file.

    Raises:
        UsageError: one is not.
    """
    known = [stage.name for stage in stages]
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: there is no stage {name!r}; known are {', '.join(known)}")


def _read_stage(path: Path, number: int, entry: Any) -> Stage:
    keys = set(entry) if isinstance(entry, dict) else set()
    if not {"name", "config"} <= keys <= {"name", "config", "options"}:
        raise FerlitError(
            f"{path}: stage {number} needs the keys name and config, and may have options; "
            f"it has {', '.join(map(str, sorted(keys))) or 'none'}"
        )
    name, configs, options = entry["name"], entry["config"], entry.get("options") or {}
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise FerlitError(
            f"{path}: the name {name!r} of stage {number} is not made of letters, digits and _"
        )
    if not isinstance(options, dict):
        raise FerlitError(f"{path}: the options of stage {name} are no mapping: {options!r}")
    return Stage(
        number=number,
        name=name,
        configs=tuple(configs) if isinstance(configs, list) else (str(configs),),
        options={str(key): as_text(value) for key, value in options.items()},
    )


def as_text(value: Any) -> str:
    """A value as the command line of a fit takes it."""
    return value if isinstance(value, str) else json.dumps(value)
