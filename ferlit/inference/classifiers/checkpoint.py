"""A checkpoint of a run, whose network PyTorch runs as it was trained.

Only backbone and classification branch run (Liu et al. 2017, Sec. 4).
"""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ferlit.data.loading.preprocessing import PREPROCESSING, PRIOR, Preprocessing
from ferlit.data.records import SequenceRule
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.metadata import is_prior
from ferlit.inference.classifiers.trust import check_class_paths, find_class
from ferlit.inference.prior import EXPECTED, NAMED, Named
from ferlit.inference.temperature import TEMPERATURE, is_temperature, tempered
from ferlit.packed import ENDING, read_packed
from ferlit.training.modules import ExpressionModule

logger = logging.getLogger(__name__)

_LONGEST = 200  # of an error of others, in a message


class ModuleClassifier:
    """The trained module itself.

    Args:
        module: The module, which is set to evaluation.
        preprocessing: How a picture became its input.
        device: Where it runs.
        prior: K shares of the classes that its probabilities hold; empty where that is not known.
        temperature: See `ferlit.inference.temperature`.
        expected: The prior that recognition takes where none is named.

    >>> classifier = ModuleClassifier(ExpressionModule(["anger", "fear"]), Preprocessing())
    >>> classifier(np.zeros((3, 1, 48, 48), np.float32)).shape
    (3, 2)
    """

    def __init__(
        self,
        module: ExpressionModule,
        preprocessing: Preprocessing,
        device: torch.device | str = "cpu",
        prior: Sequence[float] = (),
        temperature: float = 1.0,
        expected: Named = "training",
    ) -> None:
        self.module = module.to(device).eval()
        self.temperature = temperature
        self.preprocessing = preprocessing
        self.prior = tuple(prior)
        self.expected = expected
        self.classes = tuple(module.classes)
        self.sequence_rule: SequenceRule = module.hparams["sequence_rule"]

    def __call__(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, K) probabilities of (B, 1, 48, 48) inputs."""
        with torch.inference_mode():
            inputs = torch.from_numpy(faces).to(self.module.device)
            probabilities = tempered(self.module.probabilities(inputs), self.temperature)
            return np.asarray(probabilities.cpu().numpy(), np.float32)


def load_checkpoint(path: Path, device: torch.device, trust: Sequence[str]) -> ModuleClassifier:
    """The network of a run's checkpoint; see `ferlit.inference.classifiers.loading`."""
    source: Path | io.BytesIO = path
    if path.suffix == ENDING:
        content = read_packed(path)
        torch.save(content, source := io.BytesIO())  # what Lightning reads
        source.seek(0)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a foreign file fails in many ways, from KeyError to EOFError
            raise FerlitError(
                f"{path}: not a model: neither a checkpoint that loads safely, nor safetensors, "
                f"nor ONNX, nor a program of torch.export ({type(error).__name__})"
            ) from error
    kind = _module_class(path, content, trust)
    try:
        module = kind.load_from_checkpoint(
            source, weights_only=True, map_location="cpu", init_from=None
        )
    except Exception as error:  # whatever the classes named in it raise
        raise FerlitError(
            f"{path}: its network cannot be built again: {brief(error)}. Classes of your own "
            "must be importable here, and unchanged since the training"
        ) from error
    preprocessing = content.get(PREPROCESSING)
    if preprocessing is None:
        logger.warning(
            "%s does not say how its pictures were prepared (it is of an older version): taken are "
            "landmarks of mediapipe, an equalised histogram, a subtracted plane of grey values",
            path,
        )
    prior = content.get(PRIOR) or ()
    if prior and not is_prior(prior, len(module.classes)):
        raise FerlitError(f"{path}: damaged: {prior!r:.80} are no shares of its classes")
    temperature = content.get(TEMPERATURE, 1.0)
    if not is_temperature(temperature):
        raise FerlitError(f"{path}: damaged: {temperature!r:.80} is no temperature")
    prepared = Preprocessing.of(preprocessing or {})
    expected = content.get(EXPECTED, "training")
    if expected not in NAMED:
        raise FerlitError(f"{path}: damaged: it expects {expected!r:.80}")
    return ModuleClassifier(module, prepared, device, prior, temperature, expected)


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
            "`ferlit fit` made (in Python, ferlit.inference.classifiers.checkpoint has "
            "ModuleClassifier for any module of ferlit.training)"
        )
    check_class_paths(path, settings, trust)
    found = find_class(path, name)
    if not (isinstance(found, type) and issubclass(found, ExpressionModule)):
        raise FerlitError(f"{path}: a checkpoint of {name}, which is no module of ferlit's kind")
    return found


def brief(error: BaseException) -> str:
    """What an error of others says, in a message of ours."""
    return shorten(str(error) or type(error).__name__, _LONGEST, placeholder=" ...")
