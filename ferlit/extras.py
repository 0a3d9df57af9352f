"""Packages that only some commands need."""

from importlib.util import find_spec

from ferlit.errors import FerlitError


def has(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def require(*packages: str, extra: str = "export") -> None:
    """See that packages of an extra are there.

    Raises:
        FerlitError: one is missing.

    >>> require("a_package_that_nobody_has")
    Traceback (most recent call last):
        ...
    ferlit.errors.FerlitError: a_package_that_nobody_has is missing; pip install 'ferlit[export]'
    """
    missing = [package for package in packages if not has(package)]
    if missing:
        is_or_are = "is" if len(missing) == 1 else "are"
        raise FerlitError(
            f"{', '.join(missing)} {is_or_are} missing; pip install 'ferlit[{extra}]'"
        )
