"""The list of Multi-PIE's people, which tells the sessions that each of them came to."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from ferlit.data.texts import read_text
from ferlit.errors import DataError

_PERSON = re.compile(r"(\d{1,3})\s+\S+\s+\S+((?:\s+[01]){4})", re.ASCII)
logger = logging.getLogger(__name__)


def warn_of_absent(path: Path, recorded: Iterable[tuple[str, str]]) -> None:
    """Warn of people in the images of a session that they did not come to.

    Args:
        path: ``meta/subject_list.txt``; "001 1979 Female 1 1 0 0".
        recorded: Subject and session, as 001 and 01, of the images.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, DataError) as error:
        logger.warning("%s: not compared with the images (%s)", path, error)
        return
    came = {
        (f"{int(match[1]):03d}", f"{number:02d}"): flag == "1"
        for line in lines
        if (match := _PERSON.fullmatch(line.strip()))
        for number, flag in enumerate(match[2].split(), start=1)
    }
    absent = sorted(pair for pair in set(recorded) if came.get(pair) is False)
    if absent:
        some = ", ".join(f"{subject} in {session}" for subject, session in absent[:5])
        logger.warning(
            "%s: by this list %d people of the images did not come to their session, so that their "
            "images may be of somebody else: %s%s",
            path,
            len(absent),
            some,
            " ..." if len(absent) > 5 else "",
        )
