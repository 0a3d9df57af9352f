"""The command line: ``ferlit <command>``.

Commands are imported when they are called, so that ``ferlit --help`` answers at once.
"""

import codecs
import io
import logging
import os
import shlex
import sys
from importlib import import_module

from ferlit.errors import FerlitError, UsageError

_IN_ASCII = "ferlit.ascii"  # the name of `_in_ascii` among Python's handlers of such errors
_ASCII = str.maketrans("·×±…•–━", ".x~~---")  # noqa: RUF001
_FIT = "ferlit.training.fit.command:main"
COMMANDS = {
    "fit": ("train a network, then test it", _FIT),
    "validate": ("evaluate a run (its folder, or a checkpoint) on the validation split", _FIT),
    "test": ("evaluate a run (its folder, or a checkpoint) on the test split", _FIT),
    "predict": ("write the probabilities that a run gives all images", _FIT),
    "prepare": ("turn a database into a prepared store", "ferlit.data.preparation.command:main"),
    "identities": (
        "name the persons of a store whose database does not",
        "ferlit.data.identities.command:main",
    ),
    "stages": (
        "train in stages, each from the weights of the one before",
        "ferlit.training.stages.command:main",
    ),
    "crossval": (
        "train and compare systems on every fold",
        "ferlit.training.crossval.command:main",
    ),
    "crossdata": (
        "train on each store, test on each",
        "ferlit.inference.crossdata.command:main",
    ),
    "report": (
        "what the runs in a folder gave, as one page",
        "ferlit.report.command:main",
    ),
    "evaluate": (
        "evaluate a model on the faces of any stores",
        "ferlit.inference.evaluate.command:main",
    ),
    "export": (
        "write a checkpoint as safetensors, ONNX or pt2",
        "ferlit.inference.export.command:main",
    ),
    "models": ("the trained networks that come with ferlit", "ferlit.shipped.command:main"),
    "recognise": (
        "recognise the faces of pictures, folders, videos, a camera",
        "ferlit.inference.recognise.command:main",
    ),
    "demo": ("a local web page that recognises faces", "ferlit.inference.demo.command:main"),
}


def _usage() -> str:
    width = max(map(len, COMMANDS)) + 2
    lines = [f"  {name:{width}}{text}" for name, (text, _) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ferlit COMMAND [OPTIONS]",
            "",
            "Identity-aware facial expression recognition.",
            "",
            "commands:",
            *lines,
            "",
            "ferlit COMMAND --help describes a command; ferlit --version prints the version.",
            "FERLIT_DEBUG=1 shows the traceback of an error.",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows ``ferlit``; None takes it from the command line.

    Returns:
        The exit code: 0 done, 1 failed, 2 bad usage, 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_usage())
        return 0 if arguments else 2
    command, *options = arguments
    if command == "--version":
        from importlib.metadata import version

        print(f"ferlit {version('ferlit')}")
        return 0
    if command not in COMMANDS:
        print(f"ferlit: unknown command {command!r}\n\n{_usage()}", file=sys.stderr)
        return 2
    module, function = COMMANDS[command][1].split(":")
    messages = logging.StreamHandler()
    logger = logging.getLogger("ferlit")
    logger.setLevel(logging.INFO)
    logger.addHandler(messages)
    try:
        getattr(import_module(module), function)(command, options)
    except KeyboardInterrupt as interrupt:
        hint = str(interrupt) or f"ferlit {shlex.join(arguments)}"
        print(f"\ninterrupted; to go on:\n  {hint}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise  # no failure: `entry_point` ends quietly
    except Exception as raised:
        error = _plain(raised)
        if isinstance(error, UsageError):
            print(f"ferlit {command}: {error}", file=sys.stderr)
            return 2
        if os.environ.get("FERLIT_DEBUG"):
            raise
        kind = "" if isinstance(error, FerlitError) else f"{type(error).__name__}: "
        print(f"ferlit {command}: {kind}{error}", file=sys.stderr)
        return 1
    finally:
        logger.removeHandler(messages)
    return 0


def _plain(raised: Exception) -> BaseException:
    """The error of ours that an error tells, with much around it, such as jsonargparse's."""
    inner: BaseException | None = raised
    while inner is not None and not isinstance(inner, FerlitError):
        inner = inner.__cause__ or inner.__context__
    return inner if inner is not None and str(inner) in str(raised) else raised


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What a terminal without a character shows in its place, instead of ending the command."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode(), error.end


def entry_point() -> None:
    """The ``ferlit`` executable."""
    codecs.register_error(_IN_ASCII, _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_IN_ASCII)
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
