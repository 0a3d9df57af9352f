"""Speed and memory of a preparation: ``python -m benchmarks.preparation``.

Trees of synthetic 240 x 184 photographs with landmark files, of two sizes. The peer is the bare
work on one core: decode each picture and warp it. Memory is the peak of the process.
"""

import argparse
import resource
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.base import Database
from ferlit.data.databases.folder import read_folder
from ferlit.data.images import read_image
from ferlit.data.landmarks import read_landmarks, select_49
from ferlit.data.preparation import prepare_store
from ferlit.data.records import EXPRESSIONS
from ferlit.data.registration import register
from ferlit.data.synthetic import Person, Pose, draw_face

SHRINK = 0.375


def write_tree(root: Path, count: int) -> None:
    """Some faces, drawn once and written again and again."""
    rng = np.random.default_rng(0)
    people = [Person.random(rng) for _ in range(50)]
    drawn = [draw_face(person, {}, Pose(angle=rng.normal(0, 0.1)), rng) for person in people]
    for number in range(count):
        picture, points = drawn[number % len(drawn)]
        folder = root / EXPRESSIONS[number % len(EXPRESSIONS)]
        folder.mkdir(parents=True, exist_ok=True)
        small = cv2.resize(picture, None, fx=SHRINK, fy=SHRINK, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), small)
        lines = (f"{x} {y}\n" for x, y in points * SHRINK)
        (folder / f"{number:06d}.txt").write_text("".join(lines))


def read_with_landmarks(root: Path):  # type: ignore[no-untyped-def]
    records = read_folder(root)
    return records.assign(landmarks=records["image"].str.replace(".jpg", ".txt"))


def measure(root: Path, workers: int, is_bare: bool) -> None:
    database = Database("folder", (), read_with_landmarks, "class folders")
    start = time.perf_counter()
    if is_bare:
        cv2.setNumThreads(1)
        records = read_with_landmarks(root)
        start = time.perf_counter()
        for image, points in zip(records["image"], records["landmarks"], strict=True):
            register(read_image(root, image), select_49(read_landmarks(root / points)))
        count, name = len(records), "bare decode and warp, 1 core"
    else:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "store")
            store = prepare_store(database, root, output, workers=workers, progress=False)
            count, name = len(store.records), f"ferlit prepare, {workers} workers"
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:7} images, {name:30} {count / seconds:7.0f} images/s, peak {peak:.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    for count in given.images:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "tree")
            write_tree(root, count)
            for is_bare in (True, False):
                run = partial(measure, root, given.workers, is_bare)
                process = get_context("spawn").Process(target=run)  # a peak never goes down
                process.start()
                process.join()


if __name__ == "__main__":
    main()
