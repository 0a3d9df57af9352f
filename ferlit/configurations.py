"""Configurations: those that come with the package, and what one of them builds on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ferlit.errors import DataError, UsageError

_PACKAGE = Path(__file__).parent
# In a wheel they lie inside the package, in a checkout beside it.
CONFIGS = next(
    (folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir()),
    _PACKAGE / "configs",
)
BASE = "base"  # in a configuration: the one, by its file, that it changes in part


def find_config(name: str, beside: Path | None = None) -> Path:
    """The file ``name``, or the shipped configuration of that name where there is no such file.

    Args:
        name: Its path.
        beside: Another configuration, whose folder is looked into first.

    Raises:
        UsageError: there is neither.
        DataError: it is no YAML that says one thing, see `check_config`.

    >>> find_config("systems/softmax.yaml").name
    'softmax.yaml'
    """
    places = [Path(name), CONFIGS / name]
    for path in places if beside is None else [beside.parent / name, *places]:
        if path.is_file():
            check_config(path)
            return path
    shipped = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
    is_folder = " (a folder of that name is there)" if Path(name).is_dir() else ""
    raise UsageError(f"no configuration {name}{is_folder}; shipped are {', '.join(shipped)}")


def layers(name: str, beside: Path | None = None, above: tuple[Path, ...] = ()) -> list[str]:
    """What ``--config`` takes for a configuration, each over those before it.

    One with ``base: FILE`` is that file, and then the rest of its own content.

    Args:
        name: See `find_config`.
        beside: See `find_config`.
        above: Those that build on it.

    Raises:
        DataError: one builds on itself.

    >>> [Path(layer).name for layer in layers("ckplus.yaml")]
    ['ckplus.yaml']
    >>> len(layers("ckplus_best.yaml"))
    2
    """
    try:
        path = find_config(name, beside)
    except UsageError as error:
        raise error if beside is None else UsageError(f"{beside}, {BASE}: {error}") from None
    content = read_config(path)
    if BASE not in content:
        return [str(path)]
    if path.resolve() in above:
        raise DataError(f"{path}: it builds on itself, by {BASE}: {content[BASE]}")
    base = content.pop(BASE)
    if not isinstance(base, str):
        raise UsageError(f"{path}, {BASE}: {base!r} is not the name of a file")
    for key, value in content.items():  # a file that it names lies beside it
        if isinstance(value, str) and (path.parent / value).is_file():
            content[key] = str((path.parent / value).resolve())
    return [*layers(base, path, (*above, path.resolve())), yaml.safe_dump(content, sort_keys=False)]


def read_config(path: Path) -> dict[str, Any]:
    """A configuration.

    Raises:
        DataError: the file cannot be read or is none.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        kind = "" if isinstance(error, OSError) else ", not a YAML file"
        raise DataError(f"{path}: cannot be read{kind} ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: not a table of options: expected a mapping, found {type(content).__name__}"
        )
    return content


def check_config(path: Path) -> None:
    """See that a file is options by name, in UTF-8, each there once.

    YAML itself takes the last of two values for one name, without a word.

    Raises:
        DataError: it is not; the message names the file and the line.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not a text in UTF-8 (byte {error.start} is {error.object[error.start]:#x}); "
            "save it in that encoding"
        ) from error
    except OSError as error:
        raise DataError(f"{path}: it cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(root, yaml.MappingNode):
        found = "nothing" if root is None else root.tag.rpartition(":")[2]
        raise DataError(f"{path}: expected options by name, as in data: ..., found {found}")
    for key, first in _repeated(root):
        raise DataError(
            f"{path}: {key.value} is there twice, in lines {first.start_mark.line + 1} and "
            f"{key.start_mark.line + 1}; keep one of them"
        )


def _repeated(root: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """The keys that a mapping has had before, each with the one before it."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue  # an alias
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            before: dict[str, yaml.Node] = {}
            for key, value in node.value:
                waiting.append(value)
                if isinstance(key, yaml.ScalarNode):
                    if key.value in before and key.value != "<<":
                        yield key, before[key.value]
                    before[key.value] = key
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
