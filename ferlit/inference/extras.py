"""Packages that only an export needs."""

from importlib.util import find_spec

from ferlit.errors import FerlitError


def has(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def require(*packages: str) -> None:
    """Packages of the extra ``export``.

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
        raise FerlitError(f"{', '.join(missing)} {is_or_are} missing; pip install 'ferlit[export]'")
