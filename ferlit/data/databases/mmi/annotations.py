"""The XML files of MMI: the emotion of a session, whose it is, and the frames of action units."""

import re
from pathlib import Path
from xml.parsers import expat

from ferlit.data.databases.listing import is_stray
from ferlit.errors import DataError

# The expressions by their Value in the annotations; those above are of other kinds, as a scream is.
CODES = {1: "anger", 2: "disgust", 3: "fear", 4: "happiness", 5: "sadness", 6: "surprise"}
_VIDEO = re.compile(r"(S\d{3}-\d+)\.avi", re.IGNORECASE | re.ASCII)
_PERSON = re.compile(r"S\d{3}", re.ASCII)
_CODE = re.compile(r"\d{1,4}", re.ASCII)
_MARKED = re.compile(r"\d{1,9}", re.ASCII)


def has_suffix(path: Path, suffix: str) -> bool:
    """Whether a file is of a kind, and none that systems leave behind."""
    return path.suffix.lower() == suffix and not is_stray(path.name)


def read_emotion(path: Path) -> int | None:
    """The Value of the element whose Name is Emotion, wherever it stands; None without one.

    Raises:
        DataError: the file is missing, is not XML, declares a document type (its entities could
            grow without bound), names another video than its own, or the Value is no number from 1
            or has several values.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "S001-100.xml")
    ...     _ = path.write_text('<Session><MetaTag Name="Emotion" Value="4"/></Session>')
    ...     read_emotion(path)
    4
    """
    values: set[str] = set()
    for attributes in _elements(path):
        for told in attributes.values():
            match = _VIDEO.fullmatch(told.strip())
            if match is not None and match[1].upper() != path.stem.upper():
                raise DataError(f"it speaks of the video {told}, not of {path.stem}.avi")
        if attributes.get("Name") == "Emotion":
            values.add(attributes.get("Value", "").strip())
    if len(values) > 1:
        raise DataError(f"several values of Emotion: {', '.join(sorted(values))[:40]}")
    for value in values:
        if not _CODE.fullmatch(value) or int(value) == 0:
            known = ", ".join(f"{code} {name}" for code, name in CODES.items())
            raise DataError(f"the Emotion {value[:40]!r} is no code; known are {known}")
        return int(value)
    return None


def check_session(path: Path, person: str, session: str) -> None:
    """Compare an annotation with the names of its video and folder.

    Args:
        path: The annotation. What it does not tell is not compared.
        person: As the video's name has it, "S001".
        session: As the folder's name has it, "12".

    Raises:
        DataError: its first element is of another person (``Subject``) or session (``Session``).

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "S001-100.xml")
    ...     _ = path.write_text('<Session Session="12" Subject="S002"/>')
    ...     check_session(path, "S001", "12")
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: it is of the person S002, but the video's name says S001
    """
    first = next(iter(_elements(path)), {})
    told = first.get("Subject", "").strip().upper()
    if _PERSON.fullmatch(told) and told != person:
        raise DataError(f"it is of the person {told}, but the video's name says {person}")
    told = first.get("Session", "").strip()
    if _CODE.fullmatch(told) and _CODE.fullmatch(session) and int(told) != int(session):
        raise DataError(f"it is of the session {told}, but lies in the folder {session}")


def last_marker(path: Path) -> int:
    """The highest frame that a file with action units marks; 0 where it tells none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "S001-100-oao_aucs.xml")
    ...     _ = path.write_text('<a><Marker Frame="7"/><Marker Frame="90"/></a>')
    ...     last_marker(path)
    90
    """
    try:
        frames = [attributes.get("Frame", "") for attributes in _elements(path)]
    except DataError:
        return 0  # action units are not used
    return max((int(frame) for frame in frames if _MARKED.fullmatch(frame)), default=0)


def _elements(path: Path) -> list[dict[str, str]]:
    """The attributes of all elements of an XML file, the outermost first."""
    elements: list[dict[str, str]] = []

    def element(_: str, attributes: dict[str, str]) -> None:
        elements.append(attributes)

    def document_type(*_: object) -> None:
        raise DataError("it declares a document type, which is not accepted; remove the <!DOCTYPE>")

    parser = expat.ParserCreate()
    parser.StartElementHandler = element
    parser.StartDoctypeDeclHandler = document_type
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except FileNotFoundError as error:
        raise DataError("there is no such file") from error
    except (OSError, expat.ExpatError, ValueError, LookupError) as error:
        raise DataError(f"not an XML file that can be read ({error})") from error
    return elements
