"""Drawn faces, and what each network that comes with ferlit says of them.

``python -m tests.ferlit.shipped.known_faces`` writes both anew, for a new network: look at what
changes. The faces are kept as pixels, so that neither OpenCV nor our drawing can move them.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ferlit import shipped
from ferlit.data.faces.registration import register
from ferlit.data.synthetic import EXPRESSIONS, Person, draw_face
from ferlit.inference.classifiers.loading import Classifier, load_classifier

FACES = Path(__file__).parent / "known_faces.png"  # side by side, 60 x 60 each
ANSWERS = Path(__file__).parent / "known_answers.json"
_PEOPLE = 2


def known_faces() -> NDArray[np.uint8]:
    """(n, 60, 60) registered faces."""
    strip = np.asarray(Image.open(FACES))
    return np.stack(np.split(strip, strip.shape[1] // 60, axis=1))


def answers(classifier: Classifier) -> list[dict[str, float]]:
    """The probabilities that a network gives the known faces, by the names of the classes."""
    probabilities = classifier(classifier.preprocessing.inputs(known_faces()))
    return [
        {name: round(value, 4) for name, value in zip(classifier.classes, row, strict=True)}
        for row in probabilities.astype(float).tolist()
    ]


def differences(found: list[dict[str, float]], known: list[dict[str, float]]) -> float:
    """The largest difference of a probability, by name; 1 where the names differ."""
    if [list(each) for each in found] != [list(each) for each in known]:
        return 1.0
    return max(
        abs(one[name] - other[name])
        for one, other in zip(found, known, strict=True)
        for name in one
    )


def _draw() -> NDArray[np.uint8]:
    faces = []
    for seed in range(_PEOPLE):
        person = Person.random(np.random.default_rng(seed))
        for expression in ("neutral", *sorted(EXPRESSIONS)):
            picture, points = draw_face(person, person.movement(expression))
            faces.append(register(picture, points))
    return np.stack(faces)


if __name__ == "__main__":
    Image.fromarray(np.concatenate(list(_draw()), axis=1)).save(FACES)
    known = {name: answers(load_classifier(shipped.place_of(name))) for name in shipped.names()}
    ANSWERS.write_text(json.dumps(known, indent=1) + "\n")
