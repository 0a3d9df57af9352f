"""Faces made by several processes, in the order of their images.

Threads would not help: with small pictures most of the work is Python's own. The processes are
spawned, as a fork of one that runs threads may hang.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

import cv2

from ferlit.data.faces.maker import FaceMaker, Made
from ferlit.errors import FerlitError

Chunk = Sequence[tuple[str, str]]  # images with their landmarks, as the record table names them

# A process takes half a second to start, in which another makes some hundred faces. So each gets at
# least this many, and a database with fewer than twice as many stays in the main process.
_LEAST_SHARE = 256
_AHEAD = 3  # chunks that wait for each worker

_made_by_worker: FaceMaker
_is_stopped: Any


def useful_workers(images: Sequence[str], landmarks: str, asked: int | None = None) -> int:
    """How many processes are worth starting.

    Args:
        images: Names of the images that are to be made.
        landmarks: Where their landmarks come from.
        asked: The most; None for one a core.

    Returns:
        1 for the main process alone.

    >>> useful_workers(["a.png"] * 1000, "mediapipe", 8), useful_workers(["a.png"] * 500, "none", 8)
    (3, 1)
    """
    # To read a CSV file takes longer than to cut the faces that it holds, and each worker would
    # have to read all of it.
    if landmarks == "none" and images and ".csv#" in images[0].lower():
        return 1
    return max(1, min(asked or os.cpu_count() or 1, len(images) // _LEAST_SHARE))


@contextmanager
def working(
    make: FaceMaker, workers: int
) -> Iterator[Callable[[Iterable[Chunk]], Iterator[list[Made]]]]:
    """Give a function that makes the faces of chunk after chunk, lazily.

    Args:
        make: Makes a face.
        workers: Processes; 1 works in the main process.

    Raises:
        FerlitError: when a process ends before its work does.
    """
    if workers == 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # as in a worker
        try:
            yield partial(map, partial(_make_all, make))
        finally:
            cv2.setNumThreads(threads)
        return
    context = multiprocessing.get_context("spawn")
    # Without a lock: a process that is killed while it holds one would block the others.
    stop = context.RawValue("b", 0)
    pool = ProcessPoolExecutor(workers, context, _start, (make, stop))
    try:
        yield partial(_in_order, pool, workers)
    except BrokenProcessPool as error:
        raise FerlitError(
            "a worker process ended before its work was done; the system ends processes when "
            "memory is short, and fewer --workers need less. What was finished is kept: the same "
            "command goes on, ferlit prepare with --resume. (A script of your own must start this "
            'below `if __name__ == "__main__":`, or with one worker.)'
        ) from error
    finally:
        stop.value = 1
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, workers: int, chunks: Iterable[Chunk]
) -> Iterator[list[Made]]:
    waiting: deque[Future[list[Made]]] = deque()
    for chunk in chunks:
        with _interrupts_blocked():
            waiting.append(pool.submit(_work, chunk))
        if len(waiting) > _AHEAD * workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that start now never see Ctrl-C, which goes to all of a terminal's processes."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(make: FaceMaker, stop: Any) -> None:
    """Begin the life of a worker."""
    global _made_by_worker, _is_stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where nothing could be blocked
    cv2.setNumThreads(1)
    _made_by_worker, _is_stopped = make, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A main process that is killed cannot stop its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(chunk: Chunk) -> list[Made]:
    """One worker's chunk; when the work is interrupted nobody waits for the rest of it."""
    return [_made_by_worker(*row) for row in chunk if not _is_stopped.value]


def _make_all(make: FaceMaker, chunk: Chunk) -> list[Made]:
    return [make(*row) for row in chunk]
