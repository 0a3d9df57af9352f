"""A trained network as a function from faces to probabilities, whatever file it comes in.

Only backbone and classification branch run (Liu et al. 2017, Sec. 4). Exported files, ONNX and
``torch.export``, are read by `ferlit.inference.export.exported`.
"""

import logging
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ferlit.archives import UNREADABLE, check_archive
from ferlit.data.records import SequenceRule
from ferlit.errors import FerlitError, UsageError
from ferlit.inference.trust import check_class_paths
from ferlit.training.modules import PREPROCESSING, ExpressionModule

logger = logging.getLogger(__name__)

_ONNX_STARTS_WITH = b"\x08"  # the field of its version, which is a protocol buffer's first
_LONGEST = 200  # of an error of others, in a message


@dataclass(frozen=True)
class Preprocessing:
    """How a picture became the network's input in training.

    Args:
        landmarks: Where the landmarks came from: "mediapipe", "dlib", "database", or "none" where
            the pictures were aligned faces.
        equalize: Whether the histogram was equalised.
        fit_plane: Whether the fitted plane of grey values was subtracted.

    >>> Preprocessing.of({"landmarks": "dlib", "equalize": False}).fit_plane
    True
    """

    landmarks: str = "mediapipe"
    equalize: bool = True
    fit_plane: bool = True

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """From what a file says; what it leaves out has its default."""
        default = cls()
        return cls(
            str(values.get("landmarks", default.landmarks)),
            bool(values.get("equalize", default.equalize)),
            bool(values.get("fit_plane", default.fit_plane)),
        )


class Classifier(Protocol):
    """What gives probabilities of expressions; they are those that ``ferlit test`` writes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The K expressions, in the order of the probabilities."""
        ...

    @property
    def sequence_rule(self) -> SequenceRule:
        """How the images of a sequence vote."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture became an input in training."""
        ...

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        ...


class ModuleClassifier:
    """The trained module itself.

    Args:
        module: The module, which is set to evaluation.
        preprocessing: How a picture became its input.
        device: Where it runs.

    >>> classifier = ModuleClassifier(ExpressionModule(["anger", "fear"]), Preprocessing())
    >>> classifier(np.zeros((3, 1, 48, 48), np.float32)).shape
    (3, 2)
    """

    def __init__(
        self,
        module: ExpressionModule,
        preprocessing: Preprocessing,
        device: torch.device | str = "cpu",
    ) -> None:
        # One face takes a sixth less time with its channels together.
        self.module = module.to(device, memory_format=torch.channels_last).eval()
        self.preprocessing = preprocessing
        self.classes = tuple(module.classes)
        self.sequence_rule: SequenceRule = module.hparams["sequence_rule"]

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        with torch.inference_mode():
            inputs = torch.from_numpy(faces).to(self.module.device)
            return np.asarray(self.module.probabilities(inputs).cpu().numpy(), np.float32)


def load_classifier(path: Path, device: str = "cpu", *, trust: Sequence[str] = ()) -> Classifier:
    """A classifier out of a file, whose kind is told from its content.

    Args:
        path: A checkpoint of a run, a model in ONNX, or a program of ``torch.export`` (.pt2).
        device: "cpu", "cuda", "cuda:1" or another device of PyTorch.
        trust: Modules whose classes a checkpoint may name, see `ferlit.inference.trust`.

    Raises:
        FerlitError: the file is missing, damaged or none of these, or it names classes of a module
            that is not trusted.
        UsageError: there is no such device here.
    """
    if path.is_dir():
        raise FerlitError(f"{path}: a folder; the model is a file, as {_newest(path)}")
    if not path.is_file():
        raise FerlitError(f"{path}: there is no such model; give a checkpoint, .onnx or .pt2")
    with path.open("rb") as file:
        head = file.read(1)
    check_archive(path)
    if any(name.endswith("/models/model.json") for name in _members(path)):
        from ferlit.inference.export.exported import ExportedClassifier

        _find_device(device)
        return ExportedClassifier(path, device)
    if head == _ONNX_STARTS_WITH:
        from ferlit.inference.export.exported import OnnxClassifier

        return OnnxClassifier(path, device)
    return _from_checkpoint(path, _find_device(device), trust)


def _from_checkpoint(path: Path, device: torch.device, trust: Sequence[str]) -> ModuleClassifier:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a foreign file fails in many ways, from KeyError to EOFError
        raise FerlitError(
            f"{path}: not a model: neither a checkpoint that loads safely, nor ONNX, nor a program "
            f"of torch.export ({type(error).__name__})"
        ) from error
    kind = _module_class(path, content, trust)
    try:
        module = kind.load_from_checkpoint(
            path, weights_only=True, map_location="cpu", init_from=None
        )
    except Exception as error:  # whatever the classes named in it raise
        raise FerlitError(
            f"{path}: its network cannot be built again: {_shortly(error)}. Classes of your own "
            "must be importable here, and unchanged since the training"
        ) from error
    preprocessing = content.get(PREPROCESSING)
    if preprocessing is None:
        logger.warning(
            "%s does not say how its pictures were prepared (it is of an older version): taken are "
            "landmarks of mediapipe, an equalised histogram, a subtracted plane of grey values",
            path,
        )
    return ModuleClassifier(module, Preprocessing.of(preprocessing or {}), device)


def _module_class(path: Path, content: Any, trust: Sequence[str]) -> type[ExpressionModule]:
    """The class of the module in a file that PyTorch can load.

    Raises:
        FerlitError: it is no checkpoint of a run; the message says what it is.
    """
    if not isinstance(content, dict):
        raise FerlitError(f"{path}: a {type(content).__name__}, not a checkpoint of ferlit")
    if "state_dict" not in content:
        names = ", ".join(str(name) for name in list(content)[:3])
        raise FerlitError(
            f"{path}: not a checkpoint of ferlit, which has weights and settings; this has "
            f"{names or 'nothing'}. Give checkpoints/best.ckpt of a run"
        )
    settings = content.get("hyper_parameters", {})
    name = settings.get("_class_path") if isinstance(settings, dict) else None
    if not isinstance(name, str) or "classes" not in settings:
        raise FerlitError(
            f"{path}: a checkpoint without the configuration of its network; give one that "
            "`ferlit fit` made (in Python, ModuleClassifier takes any module of ferlit.training)"
        )
    check_class_paths(path, settings, trust)
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise FerlitError(f"{path}: a checkpoint of {name}, which is not here ({error})") from error
    if not (isinstance(found, type) and issubclass(found, ExpressionModule)):
        raise FerlitError(f"{path}: a checkpoint of {name}, which is no module of ferlit's kind")
    return found


def _find_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"the device {name!r} cannot be used ({_shortly(error)}); cpu always can"
        ) from error
    return device


def _members(path: Path) -> list[str]:
    """The names in a zip archive; none where it is another file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except UNREADABLE:
        return []


def _newest(folder: Path) -> Path:
    """The checkpoint that is probably meant."""
    found = sorted(folder.rglob("best.ckpt"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else folder / "checkpoints" / "best.ckpt"


def _shortly(error: BaseException) -> str:
    return shorten(str(error) or type(error).__name__, _LONGEST, placeholder=" ...")
