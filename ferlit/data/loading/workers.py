"""The processes that load images."""

import multiprocessing
import sys
from types import TracebackType

import cv2


def begin_worker(_: int) -> None:
    """Workers are processes already: OpenCV's own threads would only get in their way."""
    cv2.setNumThreads(0)
    sys.excepthook = _unless_orphaned


def _unless_orphaned(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A worker whose main process was killed has lost a connection, and tells nobody of it."""
    main = multiprocessing.parent_process()
    if main is None or main.is_alive():
        sys.__excepthook__(kind, error, trace)
