import logging
import os

import pytest

# Two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Checkpoints of the tests name tests.ferlit.tiny.TinyBackbone.
os.environ.setdefault("FERLIT_TRUST", "tests")


@pytest.fixture(autouse=True)
def _level_of_the_library() -> None:
    """What a command of an earlier test logs, the library by itself does not."""
    logging.getLogger("ferlit").setLevel(logging.NOTSET)
