"""What an exported file says about itself: classes, preprocessing, origin.

An ONNX file holds it as metadata properties, texts by name (whatever is no text is written as
JSON); a pt2 file holds the same as JSON in its extra file ``ferlit.json``.
"""

import json
import math
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ferlit.archives import UNREADABLE
from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.records import SEQUENCE_RULES, SequenceRule
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.protobuf import (
    METADATA_PROPERTIES,
    onnx_property,
    protobuf_fields,
)
from ferlit.inference.prior import NAMED, Named
from ferlit.inference.temperature import is_temperature

EXTRA_FILE = "ferlit.json"
Precision = Literal["float32", "float16", "int8"]


@dataclass(frozen=True)
class Metadata:
    """All that is needed to use the file, and where it comes from.

    Args:
        ferlit_version: The version that wrote it.
        classes: The expressions, in the order of the outputs.
        sequence_rule: How the images of a sequence vote, "max" or "mean".
        preprocessing: How a picture becomes the input; the file names its parts one by one.
        precision: "float32", "float16" (of the weights alone) or "int8".
        flip_average: Whether the graph averages a face and its mirror image.
        prior: Shares of the classes that the probabilities hold; empty where that is not known.
        expected: The prior that recognition takes where none is named, "training" or "uniform".
        temperature: That they were divided by, as logits; 1 where they are the network's own.
        databases: What the network was trained on, the latest first; empty where it is not known.
        stores: Those of its own training, see `ferlit.inference.origin.Origin`.
        licence: On the use of those data.
        checkpoint_sha256: Of the checkpoint that was exported.
        face_size: Side of a registered face in pixels.
        input_size: Side of its centre crop, the input.
        standardize: What happens to the crop last.
        canonical_landmarks: 49 points (x, y) in the registered face, where they are registered to.
        sealed: Whether the file holds a checksum of itself, see
            `ferlit.inference.classifiers.seal`.
        content_sha256: That checksum, of all else in the file.

    >>> metadata = Metadata("0.1.0", ("anger", "fear"), "max", Preprocessing("database"))
    >>> metadata.properties()["classes"], metadata.properties()["landmarks"]
    ('["anger", "fear"]', 'database')
    >>> Metadata.from_properties(metadata.properties()) == metadata
    True
    """

    ferlit_version: str
    classes: tuple[str, ...]
    sequence_rule: SequenceRule
    preprocessing: Preprocessing
    precision: Precision = "float32"
    flip_average: bool = False
    prior: tuple[float, ...] = ()
    expected: Named = "training"
    temperature: float = 1.0
    databases: tuple[str, ...] = ()
    stores: tuple[dict[str, Any], ...] = ()
    licence: str = ""
    checkpoint_sha256: str = ""
    face_size: int = 60
    input_size: int = 48
    standardize: str = "mean 0 and variance 1 of each image"
    canonical_landmarks: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    sealed: bool = False
    content_sha256: str = field(default="", repr=False)

    def properties(self) -> dict[str, str]:
        """Texts by name."""
        values: dict[str, Any] = {}
        for name, value in asdict(self).items():
            values |= value if name == "preprocessing" else {name: value}
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }

    @classmethod
    def from_properties(cls, properties: dict[str, str]) -> "Metadata":
        """The inverse of `properties`; names that it does not know are passed over.

        Raises:
            KeyError: a name without a default is missing.
            ValueError: a text is not the JSON that it must be.
        """
        values: dict[str, Any] = {}
        parts = fields(Preprocessing)
        own = (known for known in fields(cls) if known.name != "preprocessing")
        for known in (*own, *parts):
            text = properties.get(known.name)
            if text is not None:
                values[known.name] = text if known.type in _TEXTS else json.loads(text)
        for name in ("classes", "databases", "stores", "prior"):
            values[name] = tuple(values.get(name, ()))
        points = values.get("canonical_landmarks", ())
        values["canonical_landmarks"] = tuple((float(x), float(y)) for x, y in points)
        if not values["classes"]:
            raise KeyError("classes")
        values["preprocessing"] = Preprocessing(*(values.pop(part.name) for part in parts))
        return cls(**values)


_TEXTS = (str, SequenceRule, Precision, Named)


def read_metadata(path: Path) -> Metadata:
    """What an exported file, ONNX or pt2 by its content, says about itself.

    Nothing but the standard library reads it, so it is there whichever runtime is.

    Raises:
        FerlitError: there is no such file, it is damaged, or ferlit did not write it.
    """
    try:
        metadata = Metadata.from_properties(read_properties(path))
        _check_values(metadata)
        return metadata
    except (KeyError, TypeError) as error:
        raise FerlitError(
            f"{path}: it does not say which classes and preprocessing it has ({error}); "
            "use a file that `ferlit export` wrote"
        ) from error
    except (ValueError, AttributeError) as error:
        raise FerlitError(f"{path}: damaged, or no exported model ({error})") from error


def read_properties(path: Path) -> dict[str, str]:
    """The texts of an exported file by name.

    Raises:
        FerlitError: there is no such file, or it is damaged.
        KeyError: it has none.
    """
    if not path.is_file():
        raise FerlitError(f"{path}: there is no such file")
    try:
        return _pt2_properties(path) if zipfile.is_zipfile(path) else _onnx_properties(path)
    except UNREADABLE as error:
        raise FerlitError(f"{path}: damaged, or no exported model ({error})") from error


def _check_values(metadata: Metadata) -> None:
    """Raise ValueError for what no export writes."""
    classes, rule = metadata.classes, metadata.sequence_rule
    if not all(isinstance(name, str) and name for name in classes):
        raise ValueError(f"classes {classes}")
    if len(set(classes)) < len(classes):
        raise ValueError(f"two classes of one name in {', '.join(classes)}")
    if rule not in SEQUENCE_RULES:
        raise ValueError(f"sequence_rule {rule}")
    if metadata.prior and not is_prior(metadata.prior, len(classes)):
        raise ValueError(f"prior {metadata.prior}")
    if not is_temperature(metadata.temperature):
        raise ValueError(f"temperature {metadata.temperature}")
    if metadata.expected not in NAMED:
        raise ValueError(f"expected {metadata.expected}")
    values = vars(metadata) | vars(metadata.preprocessing)
    for name in ("equalize", "fit_plane", "flip_average", "sealed"):
        if not isinstance(values[name], bool):
            raise ValueError(f"{name} {values[name]}")


def is_prior(shares: Any, count: int) -> bool:
    """Whether these are shares of that many classes."""
    if not isinstance(shares, (list, tuple)) or len(shares) != count:
        return False
    are_numbers = all(isinstance(share, (int, float)) and share >= 0 for share in shares)
    return are_numbers and math.isclose(sum(shares), 1, rel_tol=1e-3)


def _pt2_properties(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(f"extra/{EXTRA_FILE}")]
        if not names:
            raise KeyError(EXTRA_FILE)
        content: dict[str, str] = json.loads(archive.read(names[0]))
        if not isinstance(content, dict):
            raise KeyError(EXTRA_FILE)
        return content


def _onnx_properties(path: Path) -> dict[str, str]:
    """The metadata properties of a ModelProto, from the wire format."""
    parts = protobuf_fields(path.read_bytes())
    return dict(onnx_property(part) for part in parts if part.number == METADATA_PROPERTIES)
