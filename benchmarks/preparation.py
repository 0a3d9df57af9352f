"""Speed and memory of a preparation: ``python -m benchmarks.preparation``.

Trees of synthetic 240 x 184 photographs with landmark files, of several sizes. The peer is the bare
work on one core: decode each picture and warp it. Memory is the peak of the main process and that
of its largest worker.
"""

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.base import Database
from ferlit.data.databases.folder import read_folder
from ferlit.data.faces.landmarks import read_landmarks, select_49
from ferlit.data.faces.registration import register
from ferlit.data.media.images import read_image
from ferlit.data.preparation import prepare_store
from ferlit.data.records import EXPRESSIONS
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


def measure(root: Path, workers: int, results: "Queue[float]") -> None:
    """Prepare the tree; 0 workers do the bare work. Images a second go to ``results``."""
    start = time.perf_counter()
    if workers == 0:
        cv2.setNumThreads(1)
        records = read_with_landmarks(root)
        start = time.perf_counter()
        for image, points in zip(records["image"], records["landmarks"], strict=True):
            register(read_image(root, image), select_49(read_landmarks(root / points)))
        count, name = len(records), "bare decode and warp, 1 core"
    else:
        database = Database("folder", (), read_with_landmarks, "class folders")
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "store")
            store = prepare_store(database, root, output, workers=workers, progress=False)
            count, name = len(store.records), f"ferlit prepare, {workers} workers"
    rate = count / (time.perf_counter() - start)
    own, children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    busy = sum(usage.ru_utime + usage.ru_stime for usage in (own, children))
    peaks = f"peak {own.ru_maxrss / 1024:.0f} MB"
    if workers > 1:
        peaks += f", largest worker {children.ru_maxrss / 1024:.0f} MB"
    print(
        f"{count:7} images, {name:28} {rate:5.0f} images/s, processor {busy:.1f} s, {peaks}",
        flush=True,
    )
    results.put(rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[5_000, 20_000, 50_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    context = get_context("spawn")
    for count in given.images:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "tree")
            write_tree(root, count)
            rates = []
            for workers in (0, *given.workers):
                results: Queue[float] = context.Queue()
                # A process for each, as a peak never goes down.
                process = context.Process(target=measure, args=(root, workers, results))
                process.start()
                rates.append(results.get())
                process.join()
            ratios = ", ".join(f"{rate / rates[0]:.2f}" for rate in rates[1:])
            print(f"{count:7} images, ratio to the bare work: {ratios}", flush=True)


if __name__ == "__main__":
    main()
