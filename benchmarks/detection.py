"""Faces found in groups, and what that costs: ``python -m benchmarks.detection [--fer2013 CSV]``.

Groups of drawn people, and of faces of FER2013 where its CSV file is given, are pasted on plain and
on cluttered grounds of 640 x 480; of each size it is told how many are found by the search of a
preparation, which may stop at the largest face, and by that of recognition. Then the time of both
on single frames, of the processor, one thread, taking turns.
"""

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection import Detector, Found, is_plausible
from ferlit.data.faces.detection.mediapipe import MediaPipeDetector
from ferlit.data.faces.detection.models import model_files
from ferlit.data.synthetic import Person, Pose, draw_face

Picture = NDArray[np.uint8]
Place = tuple[int, int, int]  # left, top, side of a face's square
SHAPE = (480, 640)
SIZES = (40, 50, 60, 80, 100, 140)
FACES = 5
LARGE = 220


def drawn(rng: np.random.Generator) -> Picture:
    person = Person.random(rng)
    picture, points = draw_face(person, person.movement("happiness"), Pose(), rng)
    left, top = np.maximum(points.mean(axis=0) - 160, 0).astype(int)
    return picture[top : top + 320, left : left + 320]


def photographs(path: Path) -> Callable[[np.random.Generator], Picture]:
    """Takes a face of FER2013 that has some contrast."""
    with path.open(newline="") as file:
        table = islice(csv.DictReader(file), 0, 10_000, 20)
        rows = [row["pixels"].split() for row in table]
    faces = [np.array(row, dtype=np.uint8).reshape(48, 48) for row in rows]
    faces = [face for face in faces if face.std() > 20]
    return lambda rng: faces[rng.integers(len(faces))]


def ground(rng: np.random.Generator, cluttered: bool) -> Picture:
    picture = np.full(SHAPE, rng.integers(60, 200), np.uint8)
    for _ in range(120 if cluttered else 0):
        corner, other = rng.integers(0, SHAPE[::-1], (2, 2))
        value, size = int(rng.integers(256)), int(rng.integers(3, 80))
        if rng.random() < 0.5:
            cv2.line(picture, corner.tolist(), other.tolist(), value, int(rng.integers(1, 7)))
        else:
            cv2.circle(picture, corner.tolist(), size, value, -1)
    return picture


def scene(
    rng: np.random.Generator, sides: list[int], face: Callable[..., Picture], cluttered: bool
) -> tuple[Picture, list[Place]]:
    picture, places = ground(rng, cluttered), list[Place]()
    for side in sides:
        for _ in range(300):
            left, top = (int(rng.integers(length - side)) for length in SHAPE[::-1])
            if all(
                max(left, x) > min(left + side, x + size) or max(top, y) > min(top + side, y + size)
                for x, y, size in places
            ):
                source = face(rng)
                method = cv2.INTER_AREA if side < len(source) else cv2.INTER_CUBIC
                small = cv2.resize(source, (side, side), interpolation=method)
                picture[top : top + side, left : left + side] = small
                places.append((left, top, side))
                break
    return picture, places


def found_in(faces: list[Found], places: list[Place]) -> tuple[list[int], int]:
    """How many faces lie in each place, and how many in none."""
    counts, elsewhere = [0] * len(places), 0
    for face in faces:
        x, y = face.points.mean(axis=0)
        inside = [
            abs(x - left - side / 2) < 0.25 * side and abs(y - top - side / 2) < 0.3 * side
            for left, top, side in places
        ]
        counts = [count + is_in for count, is_in in zip(counts, inside, strict=True)]
        elsewhere += not any(inside)
    return counts, elsewhere


def print_found(detectors: dict[str, Detector], face: Callable[..., Picture], scenes: int) -> None:
    for beside in (False, True):
        for size in SIZES:
            cells = []
            for detector in detectors.values():
                rng, hits, doubles, elsewhere = np.random.default_rng(0), list[bool](), 0, 0
                for k in range(scenes):
                    sides = [LARGE] * beside + [size] * FACES
                    picture, places = scene(rng, sides, face, cluttered=k % 2 == 1)
                    faces = [f for f in detector(picture) if is_plausible(f, picture.shape)]
                    counts, others = found_in(faces, places)
                    hits += [count > 0 for count in counts[int(beside) :]]
                    doubles += sum(max(count - 1, 0) for count in counts)
                    elsewhere += others
                cells.append(f"{100 * np.mean(hits):.0f} % | {doubles} | {elsewhere}")
            print(f"| {size}{f' beside {LARGE}' * beside} | {' | '.join(cells)} |", flush=True)


def print_cost(detectors: dict[str, Detector], rounds: int) -> None:
    rng = np.random.default_rng(0)
    frames = {
        "a drawn person": draw_face(Person.random(rng), {}, Pose(), rng)[0][:480],
        "a drawn person, cluttered ground": scene(rng, [LARGE], drawn, cluttered=True)[0],
        "no face, plain": ground(rng, cluttered=False),
        "no face, cluttered": ground(rng, cluttered=True),
        "no face, noise": rng.integers(0, 256, SHAPE).astype(np.uint8),
    }
    print(f"\n| frame of 640 x 480 | {' | '.join(f'{name}, ms' for name in detectors)} |")
    print("|---" * (1 + len(detectors)) + "|")
    for title, frame in frames.items():
        times: dict[str, list[float]] = {name: [] for name in detectors}
        for _ in range(rounds):
            for name, detector in detectors.items():
                start = time.thread_time()
                detector(frame)
                times[name].append(1000 * (time.thread_time() - start))
        cells = (f"{statistics.median(values):.1f}" for values in times.values())
        print(f"| {title} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fer2013", type=Path, help="fer2013.csv: faces of photographs")
    parser.add_argument("--scenes", type=int, default=24, help="for each size")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    detector = MediaPipeDetector(*model_files())
    detectors: dict[str, Detector] = {
        "preparation": detector,
        "recognition": replace(detector, everywhere=True),
    }
    face = drawn if given.fer2013 is None else photographs(given.fer2013)
    names = " | ".join(f"{name} | twice | elsewhere" for name in detectors)
    print(f"| {FACES} faces of pixels | {names} |")
    print("|---" * (1 + 3 * len(detectors)) + "|")
    print_found(detectors, face, given.scenes)
    print_cost(detectors, given.rounds)


if __name__ == "__main__":
    main()
