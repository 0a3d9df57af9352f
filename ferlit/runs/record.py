"""``run.json``: what a run was made with, and whether it came to its end."""

import json
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ferlit.errors import DataError
from ferlit.files import write_json

logger = logging.getLogger(__name__)
RUN = "run.json"


def write_run(folder: Path, content: dict[str, Any]) -> None:
    """Write ``run.json``, whole or not at all."""
    write_json(folder / RUN, content)


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says; nothing where there is none or, with a warning, it is damaged."""
    try:
        return _read(folder)
    except DataError as error:
        logger.warning("%s: what it says is not known", error)
        return {}


def check_run(folder: Path) -> None:
    """See that ``run.json`` can be read, where there is one.

    Raises:
        DataError: it is damaged.
    """
    _read(folder)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / RUN
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: not the record of a run")
    return content


def mark_finished(folder: Path) -> None:
    """Note that the fit of a run, and its test where there is one, came to the end."""
    content = read_run(folder)
    seconds = time.time() - content.get("clock", time.time()) + content.get("earlier_seconds", 0.0)
    write_run(folder, content | {"finished": now(), "seconds": round(seconds, 1)})


def is_finished(folder: Path) -> bool:
    """Whether a run came to its end."""
    return "finished" in read_run(folder)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
