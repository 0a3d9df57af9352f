"""Draws a person with an expression as a grey picture, from the landmarks outwards."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.synthetic.person import Person, Points, landmarks

WIDTH, HEIGHT = 640, 490
_UNIT = 112.0  # pixels of half a face's width
_SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 pixel

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Pose:
    """Where the head is in the picture.

    Args:
        x: Shift to the right in pixels.
        y: Shift downwards in pixels.
        angle: Rotation in the image plane, in radians.
        scale: Size.
    """

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    scale: float = 1.0

    def place(self, points: Points) -> Points:
        """From the units of a person to pixels."""
        turn = np.array(
            [[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]]
        )
        center = np.array([WIDTH / 2 + self.x, 0.4 * HEIGHT + self.y])
        placed: Points = points @ turn.T * (_UNIT * self.scale) + center
        return placed


def draw_face(
    person: Person,
    movement: dict[int, float],
    pose: Pose | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[Picture, Points]:
    """A picture of a person.

    Args:
        person: Who.
        movement: Action units and how strong they are.
        pose: Where the head is.
        rng: Draws the camera's noise; None for none.

    Returns:
        (490, 640) grey picture and the (68, 2) landmarks in its pixels.

    >>> person = Person.random(np.random.default_rng(0))
    >>> picture, points = draw_face(person, person.movement("surprise"))
    >>> picture.shape, points.shape
    ((490, 640), (68, 2))
    """
    pose = pose or Pose()
    shape = landmarks(person, movement)
    brush = _Brush(person, pose)
    brush.head(shape)
    brush.wrinkles(shape, movement)
    brush.hair()
    brush.mouth(shape, movement)
    brush.nose(shape)
    for eye, brow in ((shape[36:42], shape[17:22]), (shape[42:48], shape[22:27][::-1])):
        brush.eye(eye)
        brush.brow(brow)
    brush.accessories(shape)
    return brush.developed(rng), pose.place(shape)


class _Brush:
    """Paints in the units of a person."""

    def __init__(self, person: Person, pose: Pose) -> None:
        self.person = person
        self.pose = pose
        self.canvas = np.full((HEIGHT, WIDTH), person.background, dtype=np.uint8)

    def fill(self, outline: Points, tone: float, smooth: int = 3) -> None:
        for _ in range(smooth):
            outline = _cut_corners(outline)
        cv2.fillPoly(self.canvas, [self._fixed(outline)], _tone(tone), cv2.LINE_AA, _SHIFT)

    def line(self, points: Points, tone: float, width: float) -> None:
        thickness = max(1, round(width * _UNIT * self.pose.scale))
        for _ in range(2):
            points = _cut_corners(points, is_closed=False)
        cv2.polylines(
            self.canvas, [self._fixed(points)], False, _tone(tone), thickness, cv2.LINE_AA, _SHIFT
        )

    def ellipse(self, x: float, y: float, width: float, height: float, tone: float) -> None:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        outline = np.stack([x + width * np.cos(angle), y + height * np.sin(angle)], axis=1)
        self.fill(outline, tone, smooth=1)

    def head(self, shape: Points) -> None:
        """Hair behind, clothes, neck, ears and face."""
        person = self.person
        w, skin, hair = person.face_width, person.skin, person.hair
        if person.hair_style == 1:  # long
            self.ellipse(0, 0.15, 1.3 * w, 1.55, hair)
        elif person.hair_style == 2:  # full
            self.ellipse(0, -0.4, 1.25 * w, 1.0, hair)
        clothes = np.array(
            [(-0.5, 1.75), (0.5, 1.75), (1.7, 2.15), (1.9, 4), (-1.9, 4), (-1.7, 2.15)]
        )
        self.fill(clothes, 255 - 0.8 * person.background, 2)
        self.fill(
            np.array([(-0.5, 0.9), (0.5, 0.9), (0.52, 1.8), (0, 2.1), (-0.52, 1.8)]), 0.8 * skin, 1
        )
        for side in (-1, 1):
            self.ellipse(side * (w + 0.04), 0.18, 0.12, 0.24, 0.9 * skin)
        jaw = shape[:17]
        angle = np.linspace(0, -np.pi, 12)[1:-1]
        skull = np.stack([w * np.cos(angle), -0.05 + 0.95 * np.sin(angle)], axis=1)
        self.fill(np.concatenate([jaw, skull]), skin)
        if person.beard:
            inner = np.stack([0.72 * jaw[3:14, 0], 0.62 * jaw[3:14, 1] + 0.22], axis=1)
            tone = (1 - person.beard) * skin + person.beard * hair
            self.fill(np.concatenate([jaw[3:14], inner[::-1]]), tone, 1)
        for side in (-1, 1):  # cheeks
            self.ellipse(side * 0.55, 0.52, 0.2, 0.15, min(255, 1.04 * skin))

    def hair(self) -> None:
        """What falls over the forehead."""
        person = self.person
        if person.hair_style == 3:  # bald
            return
        x = np.linspace(-1, 1, 7)
        fringe = (-0.62, -0.5, -0.68)[person.hair_style] + 0.4 * np.abs(x) ** 3
        angle = np.linspace(0, -np.pi, 12)[1:-1]
        top = np.stack([1.06 * np.cos(angle), -0.05 + 1.12 * np.sin(angle)], axis=1)
        outline = np.concatenate([np.stack([x, fringe], axis=1), top])
        self.fill(outline * (person.face_width, 1), person.hair, 2)

    def wrinkles(self, shape: Points, movement: dict[int, float]) -> None:
        """The folds that action units make."""
        skin = self.person.skin

        def fold(points: list[tuple[float, float]], strength: float) -> None:
            if strength > 0.15:
                self.line(np.array(points), skin * (1 - 0.35 * min(strength, 1)), 0.022)

        brow = shape[17:27, 1].mean()
        for k in range(3):  # forehead
            y = brow - 0.1 - 0.08 * k
            fold([(-0.4, y + 0.02), (0, y), (0.4, y + 0.02)], min(movement.get(1, 0), 1) * 0.8)
        for side in (-1, 1):
            corner = shape[48] if side < 0 else shape[54]
            wing = shape[31] if side < 0 else shape[35]
            start = (float(wing[0] + side * 0.06), float(wing[1] - 0.06))
            smile = movement.get(12, 0) + movement.get(10, 0) + 0.7 * movement.get(9, 0)
            smile += movement.get(14, 0) * (side == self.person.contempt_side)
            end = (float(corner[0] + side * 0.1), float(corner[1] - 0.02))
            middle = ((start[0] + end[0]) / 2 + side * 0.06, (start[1] + end[1]) / 2)
            fold([start, middle, end], smile)
            fold([(side * 0.06, -0.12), (side * 0.05, 0.0)], movement.get(4, 0))
            for k in range(3):  # the nose's root
                y = 0.06 + 0.07 * k
                fold([(side * 0.02, y - 0.02), (side * 0.13, y + 0.02)], movement.get(9, 0))
            eye = self.person.eye_distance + self.person.eye_width
            for k in (-1, 0, 1):  # crow's feet
                reach = (side * (eye + 0.17), 0.03 + 0.07 * k)
                fold([(side * (eye + 0.05), 0.02 + 0.02 * k), reach], movement.get(6, 0))
        chin = float(shape[8, 1])
        fold([(-0.13, chin - 0.2), (0, chin - 0.24), (0.13, chin - 0.2)], movement.get(17, 0))

    def mouth(self, shape: Points, movement: dict[int, float]) -> None:
        outer, inner = shape[48:60], shape[60:68]
        lips = 0.68 * self.person.skin
        self.fill(outer, lips, 2)
        opening = inner[5:8, 1].mean() - inner[1:4, 1].mean()
        if opening > 0.03:
            self.fill(inner, 25, 2)
            teeth = inner[:5].copy()
            depth = min(0.6 * opening, 0.075)
            lower = teeth[::-1] + np.array([0, depth])
            lower[0, 1] = lower[-1, 1] = teeth[0, 1]
            if not movement.get(26):
                self.fill(np.concatenate([teeth, lower[1:-1]]), 215, 1)
        else:
            self.line(inner[[0, 1, 2, 3, 4]], 0.35 * self.person.skin, 0.02)

    def nose(self, shape: Points) -> None:
        skin = self.person.skin
        bridge, base = shape[27:31], shape[31:36]
        self.line(bridge[1:] + np.array([0.05, 0]), 0.85 * skin, 0.03)
        self.line(base, 0.68 * skin, 0.03)
        for point in (base[1], base[3]):
            self.ellipse(point[0], point[1] - 0.015, 0.035, 0.02, 0.4 * skin)

    def eye(self, eye: Points) -> None:
        """White, iris and pupil inside the lids, then the lids' lines."""
        skin, before = self.person.skin, self.canvas.copy()
        center = (eye[0] + eye[3]) / 2
        self.fill(eye, min(250, skin + 90), 2)
        inside = np.zeros_like(self.canvas)
        smooth = _cut_corners(_cut_corners(eye))
        cv2.fillPoly(inside, [self._fixed(smooth)], (255,), cv2.LINE_AA, _SHIFT)
        self.ellipse(center[0], center[1] - 0.01, 0.075, 0.075, self.person.iris)
        self.ellipse(center[0], center[1] - 0.01, 0.035, 0.035, 10)
        weight = inside.astype(np.float32) / 255
        self.canvas = (weight * self.canvas + (1 - weight) * before).astype(np.uint8)
        self.line(eye[[0, 1, 2, 3]], 0.3 * skin, 0.026)
        self.line(eye[[3, 4, 5, 0]], 0.65 * skin, 0.014)

    def brow(self, brow: Points) -> None:
        """From the outer to the inner end, growing thicker."""
        half = self.person.brow_thickness * np.array([0.25, 0.4, 0.5, 0.55, 0.5])[:, None]
        edge = np.concatenate([brow - half * (0, 1), (brow + half * (0, 1))[::-1]])
        self.fill(edge, self.person.brow_tone, 2)

    def accessories(self, shape: Points) -> None:
        person = self.person
        rng = np.random.default_rng(person.moles)
        for _ in range(rng.integers(0, 5)):
            x, y = rng.uniform(-0.7, 0.7), rng.uniform(0.3, 1.0)
            self.ellipse(x, y, 0.02, 0.02, 0.5 * person.skin)
        if person.glasses:
            width, height = ((0.27, 0.17), (0.24, 0.24))[person.glasses - 1]
            angle = np.linspace(0, 2 * np.pi, 25)
            squareness = (0.5, 1.0)[person.glasses - 1]
            for side in (-1, 1):
                c, s = np.cos(angle), np.sin(angle)
                rim = np.stack(
                    [
                        side * person.eye_distance + width * np.sign(c) * np.abs(c) ** squareness,
                        0.02 + height * np.sign(s) * np.abs(s) ** squareness,
                    ],
                    axis=1,
                )
                self.line(rim, 20, 0.03)
                arm = (side * (person.eye_distance + width), 0.0)
                self.line(np.array([arm, (side * person.face_width, -0.05)]), 20, 0.03)
            gap = person.eye_distance - width
            self.line(np.array([(-gap, 0.0), (0, -0.03), (gap, 0.0)]), 20, 0.03)

    def developed(self, rng: np.random.Generator | None) -> Picture:
        """Uneven light, the lens's blur and the sensor's noise."""
        person = self.person
        y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
        slope = np.cos(person.light_angle) * x + np.sin(person.light_angle) * y
        picture = self.canvas.astype(np.float32) * (1 + person.light * 1.5 * slope)
        picture = cv2.GaussianBlur(picture, (0, 0), 1.2)
        if rng is not None:
            picture = picture + rng.normal(0, 2, picture.shape).astype(np.float32)
        return np.asarray(picture.clip(0, 255), dtype=np.uint8)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        return np.asarray(np.round(self.pose.place(points) * 2**_SHIFT), dtype=np.int32)


def _cut_corners(points: Points, is_closed: bool = True) -> Points:
    """One round of Chaikin's smoothing."""
    following = np.roll(points, -1, axis=0)
    pairs = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
    if is_closed:
        return pairs.reshape(-1, 2)
    return np.concatenate([points[:1], pairs[:-1].reshape(-1, 2), points[-1:]])


def _tone(value: float) -> tuple[int]:
    return (int(np.clip(value, 0, 255)),)
