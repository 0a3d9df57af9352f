"""MediaPipe's nets, run by OpenCV."""

import os
import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError

_nets = threading.local()  # a net is not safe to share between threads


def run(
    model: Path, values: NDArray[np.floating], outputs: tuple[str, ...], copy: int = 0
) -> list[NDArray[np.float32]]:
    """Run this thread's net on a grey picture, as it expects three channels.

    Args:
        model: The file of the net.
        values: (H, W).
        outputs: The names of the net's outputs.
        copy: Of the net. One is enough; but it takes OpenCV time when the size changes.

    Returns:
        The outputs.

    Raises:
        DataError: OpenCV cannot read the file.
    """
    loaded = net(model, copy)
    loaded.setInput(np.repeat(values[None, None].astype(np.float32, copy=False), 3, axis=1))
    return [np.asarray(output) for output in loaded.forward(outputs)]


def net(model: Path, copy: int = 0) -> cv2.dnn.Net:
    """This thread's own net; after a fork, the child's own.

    Raises:
        DataError: OpenCV cannot read the file.
    """
    key = (os.getpid(), model, copy)
    nets: dict[tuple[int, Path, int], cv2.dnn.Net] = _nets.__dict__.setdefault("nets", {})
    if key not in nets:
        # The classic engine: the new one of OpenCV 5 leaves out the mesh's second output.
        engine = (cv2.dnn.ENGINE_CLASSIC,) if hasattr(cv2.dnn, "ENGINE_CLASSIC") else ()
        try:
            nets[key] = cv2.dnn.readNetFromTFLite(str(model), *engine)
        except (cv2.error, AttributeError) as error:
            raise DataError(
                f"{model}: OpenCV {cv2.__version__} cannot read it ({error}); is it the file of "
                "mediapipe 0.10.21?"
            ) from error
    return nets[key]
