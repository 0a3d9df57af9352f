"""The recognition of a folder of pictures, whose rows are whole whenever it is stopped."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.ferlit.inference.small import CLASSES, write_exported
from tests.soak.scenario import Results, Scenario, hash_of

PICTURES = 1500
ROWS, LINES = "answers.csv", "answers.jsonl"


def scenario(work: Path) -> Scenario:
    """That of recognition.

    Args:
        work: For the pictures and the network.
    """
    pictures, model = work / "pictures", work / "model.onnx"
    if not model.exists():
        rng = np.random.default_rng(0)
        pictures.mkdir(exist_ok=True)
        for number in range(PICTURES):
            face = rng.integers(0, 255, (48, 48), np.uint8)
            Image.fromarray(face).save(pictures / f"{number:04}.png")
        write_exported(model)

    def command(folder: Path) -> list[str]:
        outputs = [f"--output={folder / name}" for name in (ROWS, LINES)]
        return ["recognise", f"--model={model}", "--aligned", *outputs, str(pictures)]

    return Scenario("recognise", command, _results, stopped=torn_row)


def _results(folder: Path) -> Results:
    return {name: hash_of(folder / name) for name in (ROWS, LINES)}


def torn_row(folder: Path) -> str:
    """What is wrong with the rows that were written so far; "" where all are whole."""
    rows, lines = folder / ROWS, folder / LINES
    text = rows.read_text(encoding="utf-8") if rows.is_file() else ""
    table = list(csv.reader(text.splitlines()))
    if text and (not text.endswith("\n") or any(len(row) != len(table[0]) for row in table)):
        return f"{rows}: ends with {text[-60:]!r}"
    if table and not set(CLASSES) <= set(table[0]):
        return f"{rows}: begins with {text[:60]!r}"
    text = lines.read_text(encoding="utf-8") if lines.is_file() else ""
    try:
        [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return f"{lines}: ends with {text[-60:]!r}"
    return "" if not text or text.endswith("\n") else f"{lines}: ends with {text[-60:]!r}"
