"""What the demo answers to a picture, and what it says of its model; no web page in it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError
from ferlit.inference.classifiers.exported import ExportedClassifier, OnnxClassifier
from ferlit.inference.demo.cards import Card, cards, message
from ferlit.inference.demo.neighbours import NearestFaces
from ferlit.inference.drawing import annotate, read_colour
from ferlit.inference.inputs import as_grey
from ferlit.inference.licences import licence_note
from ferlit.inference.origin import Origin
from ferlit.inference.recogniser import Recogniser

NO_FACE = "No face found. Try a picture in which a face is larger and looks at the camera."
_KINDS = "It reads PNG, JPEG, BMP, TIFF, WebP, PPM and GIF."
_RULES = {
    "max": "the class with the highest probability in any of its images",
    "mean": "the class with the highest mean probability over its images",
}


class Answer(NamedTuple):
    """What the page shows."""

    picture: NDArray[np.uint8] | None  # (H, W, 3) RGB with the faces marked
    html: str
    is_readable: bool = True  # what was given


class Answers:
    """Answers to pictures.

    Args:
        recogniser: Finds the faces and recognises them.
        nearest: Finds the training faces next to them; None shows none.
    """

    def __init__(self, recogniser: Recogniser, nearest: NearestFaces | None = None) -> None:
        self.recogniser = recogniser
        self.nearest = nearest

    def __call__(self, path: str | None) -> Answer:
        """The faces of a picture, or why there are none.

        Args:
            path: Its file; None where there is no picture yet.
        """
        if path is None:
            return Answer(None, "")
        place = Path(path)
        try:
            grey = as_grey(place)
            found = self.recogniser.find_faces(grey)
        except DataError as error:
            # Where the upload was put says nothing to who made it.
            reason = str(error).replace(f"{place.parent}/", "")
            return Answer(None, message(f"This file cannot be read. {reason}. {_KINDS}"), False)
        if not found:
            return Answer(None, message(NO_FACE))
        (faces,) = self.recogniser.classify([found])
        near = self.nearest(self.recogniser.inputs(found)) if self.nearest else [[] for _ in found]
        canvas = annotate(read_colour(place, grey), faces, points=True)
        shown = [
            Card(face, registered.face, neighbours)
            for face, registered, neighbours in zip(faces, found, near, strict=True)
        ]
        return Answer(np.ascontiguousarray(canvas[..., ::-1]), cards(shown, self._near_title))

    @property
    def _near_title(self) -> str:
        if self.nearest is None:
            return ""
        kind = "training faces" if self.nearest.is_training else "faces"
        return (
            f"Nearest of {len(self.nearest.rows)} {kind} of "
            f"{self.nearest.store.description.database} in the metric branch: label, distance from "
            "0 to 4, person"
        )


def describe(recogniser: Recogniser, model: Path) -> list[str]:
    """What the model is, and what its answers do not mean, a paragraph each.

    Args:
        recogniser: With the model.
        model: Its file.

    Raises:
        DataError: the folder of the checkpoint's run is damaged.
    """
    classifier = recogniser.classifier
    if isinstance(classifier, OnnxClassifier | ExportedClassifier):
        databases, licence = classifier.metadata.databases, classifier.metadata.licence
    else:
        databases = Origin.of(model).databases
        licence = licence_note(databases)
    named = ", ".join(databases) or "data that its file does not name"
    finder = {"none": "each picture is taken for a cropped face"}.get(
        recogniser.landmarks, f"faces are found by {recogniser.landmarks}"
    )
    return [
        f"Model: {model.name}, trained on {named}. {len(recogniser.classes)} classes: "
        f"{', '.join(recogniser.classes)}. Here {finder}. In an evaluation a sequence gets "
        f"{_RULES[recogniser.sequence_rule]}; this page judges each picture by itself.",
        "What the answers do not mean: they name the expression that a face shows, not what a "
        "person feels or intends. Every face gets one of these classes, also one that shows none "
        "of them, and a high probability can be wrong, above all for faces unlike those of the "
        "training. Decide nothing about people by it.",
        f"Terms: {licence}.",
        "Pictures stay on the machine that runs this page, and are deleted when it ends.",
    ]
