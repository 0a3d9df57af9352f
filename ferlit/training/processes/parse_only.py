"""Parses the options of a fit as the fit will, and goes no further."""

import contextlib
import io
from collections.abc import Sequence

from ferlit.errors import UsageError
from ferlit.training.cli import FerlitCLI, main


class ParseOnly(FerlitCLI):
    """Ends after the command line is parsed, unlike ``--print_config`` with all of its checks."""

    def before_instantiate_classes(self) -> None:
        """Nothing: no checkpoint is looked for."""

    def instantiate_classes(self) -> None:
        """Nothing is built."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing runs."""


def check_fit(options: Sequence[str], whose: str) -> None:
    """See that ``ferlit fit`` takes these options.

    Args:
        options: What follows ``ferlit fit``.
        whose: What the message calls them.

    Raises:
        UsageError: the fit would refuse them.

    >>> check_fit(["--config=ckplus.yaml", "--trainer.no_such=3"], "stage 1")
    Traceback (most recent call last):
        ...
    ferlit.errors.UsageError: stage 1: ...
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            main("fit", list(options), ParseOnly)
    except SystemExit as stop:
        message = errors.getvalue().rpartition("error:")[2].strip() or f"exit code {stop.code}"
        raise UsageError(f"{whose}: {message}") from None
