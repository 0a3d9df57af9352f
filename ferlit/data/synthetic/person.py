"""Parametric people: a person's geometry and the FACS-like movements of an expression.

Lengths are in units of about half a face's width; x grows to the right of the image, y downwards,
and the origin lies between the eyes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The action units of each expression at its apex (Ekman and Friesen's prototypes), 0 to 1.
# AU14 is one-sided, as contempt is.
EXPRESSIONS: dict[str, dict[int, float]] = {
    "anger": {4: 1.0, 5: 0.4, 7: 0.8, 17: 0.4, 24: 1.0},
    "contempt": {14: 1.0, 2: 0.3, 24: 0.2},
    "disgust": {9: 1.0, 10: 1.0, 4: 0.4, 7: 0.6, 15: 0.3, 25: 0.5},
    "fear": {1: 1.0, 2: 0.6, 4: 0.5, 5: 1.0, 20: 1.0, 25: 0.8},
    "happiness": {6: 1.0, 12: 1.0, 25: 0.8},
    "sadness": {1: 1.0, 4: 0.4, 15: 1.0, 17: 0.8, 43: 0.5},
    "surprise": {1: 1.0, 2: 1.0, 5: 1.0, 26: 1.0},
}
ACTION_UNITS = tuple(sorted({unit for units in EXPRESSIONS.values() for unit in units}))

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Person:
    """Who is drawn: geometry, skin, hair, brows, glasses, lighting and ways of moving.

    All values but the seed are drawn by `Person.random`; the ranges there say what they mean.
    """

    face_width: float
    face_height: float
    jaw_power: float
    eye_distance: float
    eye_width: float
    eye_opening: float
    brow_height: float
    brow_arch: float
    brow_tilt: float
    brow_thickness: float
    nose_length: float
    nose_width: float
    mouth_height: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    skin: float
    hair: float
    hair_style: int
    iris: float
    brow_tone: float
    beard: float
    glasses: int
    moles: int
    background: float
    light_angle: float
    light: float
    intensity: float
    contempt_side: int
    style: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Person":
        """Somebody new.

        >>> Person.random(np.random.default_rng(0)) == Person.random(np.random.default_rng(0))
        True
        """
        skin = float(rng.uniform(80, 215))
        hair = float(rng.choice([25, 45, 75, 120, 190])) * min(1.0, skin / 110)
        draws: dict[str, float | int] = {
            "face_width": rng.uniform(0.9, 1.12),
            "face_height": rng.uniform(1.25, 1.5),
            "jaw_power": rng.uniform(0.55, 0.95),
            "eye_distance": rng.uniform(0.4, 0.5),
            "eye_width": rng.uniform(0.15, 0.2),
            "eye_opening": rng.uniform(0.06, 0.095),
            "brow_height": rng.uniform(0.23, 0.33),
            "brow_arch": rng.uniform(0.02, 0.1),
            "brow_tilt": rng.uniform(-0.04, 0.05),
            "brow_thickness": rng.uniform(0.035, 0.1),
            "nose_length": rng.uniform(0.42, 0.58),
            "nose_width": rng.uniform(0.13, 0.21),
            "mouth_height": rng.uniform(0.82, 0.92),
            "mouth_width": rng.uniform(0.27, 0.36),
            "lip_upper": rng.uniform(0.035, 0.075),
            "lip_lower": rng.uniform(0.05, 0.1),
            "skin": skin,
            "hair": hair,
            "hair_style": int(rng.integers(4)),
            "iris": rng.uniform(25, 110),
            "brow_tone": hair * rng.uniform(0.6, 1.0),
            "beard": float(rng.random() < 0.3) * rng.uniform(0.3, 0.75),
            "glasses": int(rng.choice([0, 0, 0, 1, 2])),
            "moles": int(rng.integers(2**31)),
            "background": rng.uniform(30, 220),
            "light_angle": rng.uniform(0, 2 * np.pi),
            "light": rng.uniform(0.05, 0.4),
            "intensity": rng.uniform(0.8, 1.15),
            "contempt_side": int(rng.choice([-1, 1])),
            "style": int(rng.integers(2**31)),
        }
        return cls(**draws)  # type: ignore[arg-type]

    def movement(self, expression: str) -> dict[int, float]:
        """This person's action units at the apex of an expression: everyone's vary a little.

        None for "neutral".

        >>> person = Person.random(np.random.default_rng(0))
        >>> sorted(person.movement("happiness"))
        [6, 12, 25]
        """
        if expression == "neutral":
            return {}
        rng = np.random.default_rng((self.style, sorted(EXPRESSIONS).index(expression)))
        return {
            unit: float(np.clip(value * self.intensity * rng.uniform(0.75, 1.2), 0, 1.2))
            for unit, value in EXPRESSIONS[expression].items()
        }


def landmarks(person: Person, movement: dict[int, float]) -> Points:
    """The 68 iBUG landmarks of a face.

    Args:
        person: Whose.
        movement: Action units and how strong they are; what is left out is at rest.

    Returns:
        (68, 2) in the units of this module.

    >>> person = Person.random(np.random.default_rng(0))
    >>> rest, surprised = landmarks(person, {}), landmarks(person, {26: 1.0})
    >>> bool(surprised[66, 1] - surprised[62, 1] > rest[66, 1] - rest[62, 1] + 0.1)
    True
    """
    au = {unit: movement.get(unit, 0.0) for unit in ACTION_UNITS}
    left, right = _brow_and_eye(person, au, -1), _brow_and_eye(person, au, 1)
    drop = 0.3 * au[26]
    angle = np.linspace(np.pi, 0, 17)
    chin = person.face_height + 0.6 * drop - 0.04 * au[17]
    jaw = np.stack(
        [
            person.face_width * np.cos(angle),
            -0.05 + (chin + 0.05) * np.sin(angle) ** person.jaw_power,
        ],
        axis=1,
    )
    base = person.nose_length - 0.05 * au[9]
    bridge = np.stack([np.zeros(4), np.linspace(0.02, base - 0.06, 4)], axis=1)
    width = person.nose_width * (1 + 0.2 * au[9])
    nostrils = np.stack(
        [width * np.linspace(-1, 1, 5), base + np.array([0, 0.03, 0.045, 0.03, 0])], axis=1
    )
    return np.concatenate(
        [
            jaw,
            left[0],
            right[0][::-1],
            bridge,
            nostrils,
            left[1],
            right[1][[3, 2, 1, 0, 5, 4]],
            _mouth(person, au, drop),
        ]
    )


def _brow_and_eye(person: Person, au: dict[int, float], side: int) -> tuple[Points, Points]:
    """Brow from outer to inner end; eye from the outer corner over the upper lid and back."""
    t = np.linspace(0, 1, 5)
    x = person.eye_distance + 0.26 - 0.5 * t - 0.06 * au[4] * t
    y = -person.brow_height - person.brow_arch * np.sin(np.pi * t) + person.brow_tilt * (t - 0.5)
    y += -0.15 * au[1] * t**1.5 - 0.13 * au[2] * (1 - t) ** 0.7
    y += au[4] * (0.04 + 0.11 * t) + 0.03 * au[9] * t + 0.03 * au[43]
    brow = np.stack([side * x, y], axis=1)
    upper = person.eye_opening * max(0.15, 1 + 0.7 * au[5] - 0.45 * au[7] - 0.6 * au[43])
    upper *= max(0.4, 1 - 0.25 * au[9] - 0.2 * au[6])
    lower = 0.6 * person.eye_opening * max(0.1, 1 + 0.2 * au[5] - 0.6 * au[7] - 0.6 * au[6])
    w = person.eye_width
    eye = np.array(
        [
            (w, 0),
            (0.4 * w, -upper),
            (-0.4 * w, -upper),
            (-w, 0.01),
            (-0.4 * w, lower),
            (0.4 * w, lower),
        ]
    )
    return brow, np.stack([side * (person.eye_distance + eye[:, 0]), eye[:, 1]], axis=1)


def _mouth(person: Person, au: dict[int, float], drop: float) -> Points:
    """The 20 points of the lips."""
    middle = person.mouth_height
    part = 0.09 * au[25]
    thin = 1 - 0.65 * min(au[24], 1)
    corners = []
    for side in (-1, 1):
        one_sided = au[14] if side == person.contempt_side else 0.0
        out = 0.1 * au[12] + 0.11 * au[20] + 0.09 * one_sided - 0.05 * au[24] - 0.07 * au[26]
        up = 0.14 * au[12] + 0.13 * one_sided - 0.11 * au[15] - 0.02 * au[20] - 0.02 * au[10]
        corners.append((side * (person.mouth_width + out), middle - up + 0.35 * drop))
    (left, left_y), (right, right_y) = corners

    def lip(fractions: list[float], height: float, bulge: list[float]) -> Points:
        f = np.array(fractions)  # -1 at the left corner, 1 at the right one
        x = np.where(f < 0, -f * left, f * right)
        # A lip's line runs from its height in the middle to the corners.
        corner = np.where(f < 0, left_y, right_y)
        weight = np.abs(f) ** 1.7
        return np.stack([x, (1 - weight) * height + weight * corner + np.array(bulge)], axis=1)

    raised = 0.07 * au[10] + 0.03 * au[9] + 0.02 * au[12]
    upper = middle - 0.4 * part - raised
    lower = middle + drop + 0.7 * part - 0.05 * au[17]
    thick_up = person.lip_upper * thin * (1 - 0.25 * au[12])
    thick_low = person.lip_lower * thin * (1 - 0.15 * au[12] + 0.25 * au[17])
    outer_up = lip([-0.62, -0.25, 0, 0.25, 0.62], upper, [-k * thick_up for k in (0.7, 1.1, 0.9, 1.1, 0.7)])  # fmt: skip  # noqa: E501
    outer_low = lip([0.62, 0.3, 0, -0.3, -0.62], lower, [k * thick_low for k in (0.7, 1, 1.1, 1, 0.7)])  # fmt: skip  # noqa: E501
    inner_up = lip([-0.45, 0, 0.45], upper, [0, 0, 0])
    inner_low = lip([0.45, 0, -0.45], np.maximum(lower, upper + 0.004), [0, 0, 0])
    ends = np.array([[left, left_y], [right, right_y]])
    return np.concatenate(
        [
            ends[:1],
            outer_up,
            ends[1:],
            outer_low,
            0.93 * ends[:1] + 0.07 * np.array([[0, middle]]),
            inner_up,
            0.93 * ends[1:] + 0.07 * np.array([[0, middle]]),
            inner_low,
        ]
    )
