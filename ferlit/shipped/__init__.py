"""The trained networks that come with ferlit, by name.

Each is three files of this folder: ``NAME.safetensors`` with its weights, ``NAME.json`` with
classes, preprocessing, architecture, provenance and figures (`ferlit.packed`), and ``NAME.md``, its
model card.
"""

import logging
from pathlib import Path

from ferlit.packed import ENDING

logger = logging.getLogger(__name__)
FOLDER = Path(__file__).parent
DEFAULT = "ferplus"  # where no model is named


def names() -> list[str]:
    """Their names, the default first."""
    found = sorted(path.stem for path in FOLDER.glob(f"*{ENDING}"))
    return sorted(found, key=lambda name: name != DEFAULT)


def weights_of(name: str) -> Path:
    """Where the weights of one of them lie."""
    return FOLDER / f"{name}{ENDING}"


def place_of(model: Path | str) -> Path:
    """Where a model lies that may be named: a file or folder stays what it is.

    Args:
        model: A name of `names`, or any path.

    >>> place_of("runs/ferplus/version_0") == Path("runs/ferplus/version_0")
    True
    """
    if str(model) not in names():
        return Path(model)
    if Path(model).exists():
        logger.warning(
            "%s: taken for the network of that name that comes with ferlit; write ./%s for what "
            "lies here",
            *(model, model),
        )
    return weights_of(str(model))
