"""Results as rows: CSV, JSON lines, or a table on the terminal.

There is a row for each face (level "face"), one without a label for a picture without a face, and
one for each sequence (level "sequence"). A frame that is lost has no row.
"""

import csv
import json
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ferlit.errors import UsageError
from ferlit.inference.recognise.results import FrameResult, Result, SequenceResult
from ferlit.inference.recognise.sources import Frame
from ferlit.inference.recogniser import UNSURE, Face

_EDGES = ("left", "top", "right", "bottom")
_COLUMNS = (
    *("level", "source", "frame", "time", "face", *_EDGES),
    *("detection", "label", "probability", "frames_lost"),
)
_ROWS_AT_ONCE = 50  # of a table; a camera's are shown at once


class CsvRows:
    """A CSV file; its probabilities are those of ``ferlit test``'s predictions.csv.

    Args:
        file: Takes the text.
        classes: The K expressions, which are its last columns.

    Raises:
        UsageError: one is called like another column.
    """

    def __init__(self, file: TextIO, classes: Sequence[str]) -> None:
        for name in classes:
            if name in _COLUMNS:
                raise UsageError(
                    f"a class of the model is called {name!r}, as a column of the CSV file is; "
                    "take JSON lines, which tell them apart (--output FILE.jsonl, --format jsonl)"
                )
        self.file = file
        self.writer = csv.DictWriter(file, [*_COLUMNS, *classes], lineterminator="\n")
        self.writer.writeheader()

    def write(self, item: Result) -> None:
        if isinstance(item, SequenceResult):
            score = item.score
            row = {"level": "sequence", "source": item.source, "label": item.label}
            lost = {"frames_lost": item.lost}
            self.writer.writerow({**row, "probability": score, **lost, **item.scores})
            return
        if item.frame.grey is None:
            return
        common = _common(item.frame)
        for number, face in enumerate(item.faces):
            of_face = {
                "face": number,
                **dict(zip(_EDGES, face.box, strict=True)),
                "detection": face.score,
                "label": face.label,
                "probability": face.probability,
            }
            self.writer.writerow(common | of_face | face.probabilities)
        if not item.faces:
            self.writer.writerow(common)

    def close(self) -> None:
        self.file.flush()


class JsonRows:
    """A JSON object a line.

    Args:
        file: Takes the text.
        points: Write the 49 landmarks too.
    """

    def __init__(self, file: TextIO, *, points: bool = False) -> None:
        self.file = file
        self.has_points = points

    def write(self, item: Result) -> None:
        for row in self._rows(item):
            self.file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self.file.flush()

    def _rows(self, item: Result) -> list[dict[str, Any]]:
        if isinstance(item, SequenceResult):
            return [
                {
                    "level": "sequence",
                    "source": item.source,
                    "rule": item.rule,
                    "frames": item.frames,
                    "frames_with_face": item.with_face,
                    "frames_lost": item.lost,
                    "label": item.label or None,
                    "probability": item.score,
                    "probabilities": item.scores,
                }
            ]
        if item.frame.grey is None:
            return []
        common = _common(item.frame)
        rows = [
            common | {"face": number} | self._face(face) for number, face in enumerate(item.faces)
        ]
        return rows or [common | {"face": None, "label": None}]

    def _face(self, face: Face) -> dict[str, Any]:
        row = {
            "box": list(face.box),
            "detection": face.score,
            "label": face.label,
            "probability": face.probability,
            "probabilities": face.probabilities,
        }
        if self.has_points and face.points is not None:
            row["points"] = face.points.tolist()
        return row


class TableRows:
    """A table to read, printed as it grows.

    Args:
        console: Where it is printed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rows: list[tuple[str, ...]] = []
        self.is_first = True

    def write(self, item: Result) -> None:
        if isinstance(item, SequenceResult):
            share = "" if item.score is None else _percent(item.score)
            note = f"{item.rule} of {item.with_face} of {item.frames} frames"
            note += f", {item.lost} lost" if item.lost else ""
            self.rows.append((item.source, "all", "", "", item.label or "no face", share, note))
        elif item.frame.grey is not None:
            name = item.frame.source.name
            number = "" if item.frame.number is None else str(item.frame.number)
            time = "" if item.frame.time is None else f"{item.frame.time:.2f} s"
            for place, face in enumerate(item.faces):
                second = sorted(face.probabilities.items(), key=lambda pair: -pair[1])[1:2]
                note = "".join(f"then {label} {_percent(value)}" for label, value in second)
                if face.label == UNSURE:
                    likeliest = max(face.probabilities, key=face.probabilities.__getitem__)
                    note = f"perhaps {likeliest}, {note}"
                share = _percent(face.probability)
                self.rows.append((name, number, time, str(place), face.label, share, note))
            if not item.faces:
                self.rows.append((name, number, time, "", "no face", "", ""))
        is_live = isinstance(item, FrameResult) and item.frame.source.kind == "camera"
        if is_live or isinstance(item, SequenceResult) or len(self.rows) >= _ROWS_AT_ONCE:
            self._print()

    def close(self) -> None:
        self._print()

    def _print(self) -> None:
        if not self.rows:
            return
        # Fixed widths, so that the parts make one table.
        room = max(self.console.width - 83, 16)
        table = Table(box=None, show_header=self.is_first, pad_edge=False)
        table.add_column("source", width=room, no_wrap=True)
        table.add_column("frame", width=6, justify="right")
        table.add_column("time", width=10, justify="right")
        table.add_column("face", width=4, justify="right")
        table.add_column("expression", width=11)
        table.add_column("", width=5, justify="right")
        table.add_column("", width=30)
        for name, *others in self.rows:
            shown = name if len(name) <= room else "…" + name[1 - room :]
            table.add_row(Text(shown), *others)
        self.console.print(table)
        self.rows.clear()
        self.is_first = False


def _common(frame: Frame) -> dict[str, Any]:
    """What all rows of a frame have."""
    return {
        "level": "face",
        "source": frame.source.name,
        "frame": frame.number,
        "time": frame.time,
    }


def _percent(value: float) -> str:
    """A probability as people read it.

    >>> _percent(0.837)
    '84 %'
    """
    return f"{100 * value:.0f} %"
