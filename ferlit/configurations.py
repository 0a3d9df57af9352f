"""The configurations that come with the package."""

from pathlib import Path

from ferlit.errors import FerlitError

_PACKAGE = Path(__file__).parent
# In a wheel they lie inside the package, in a checkout beside it.
CONFIGS = next(
    (folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir()),
    _PACKAGE / "configs",
)


def find_config(name: str) -> Path:
    """The file ``name``, or the shipped configuration of that name where there is no such file.

    Raises:
        FerlitError: there is neither.

    >>> find_config("systems/softmax.yaml").name
    'softmax.yaml'
    """
    for path in (Path(name), CONFIGS / name):
        if path.is_file():
            return path
    shipped = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml"))
    raise FerlitError(f"no configuration {name}; shipped are {', '.join(shipped)}")
