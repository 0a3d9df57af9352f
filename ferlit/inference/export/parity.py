"""Whether an exported file gives what the network gives."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.loading.transforms import INPUT_SIZE
from ferlit.data.store import Store
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.loading import Classifier

MOST_FACES = 1000
_BATCH = 64
_SMALL_BATCHES = (1, 2, 7)
LARGEST_DIFFERENCE = 1e-4  # of a probability; float32 in another order of sums gives about 1e-6
LARGEST_IN_HALF = 2e-2  # of a probability, with weights in 16 bits
_LEAST_AGREEMENT = 0.9  # of int8's labels: below it something other than rounding is at work


class ParityInputs(NamedTuple):
    """Inputs to compare on.

    Args:
        inputs: (n, 1, 48, 48) float32.
        name: What they are, for the message.
    """

    inputs: NDArray[np.float32]
    name: str


class Parity(NamedTuple):
    """How two classifiers compare.

    Args:
        faces: How many inputs were compared.
        difference: The largest difference of a probability.
        agreeing: Inputs with the same label.
    """

    faces: int
    difference: float
    agreeing: int

    def __str__(self) -> str:
        return (
            f"largest difference of a probability {self.difference:.2g}, "
            f"labels agree {self.agreeing} of {self.faces}"
        )


def real_faces(store: Store, preprocessing: Preprocessing) -> ParityInputs:
    """Faces of a store as inputs, at most a thousand, spread over the whole of it."""
    rows = np.unique(np.linspace(0, len(store.records) - 1, MOST_FACES).round().astype(np.int64))
    name = f"{len(rows)} faces of {store.description.database}"
    return ParityInputs(preprocessing.inputs(store.faces[rows]), name)


def random_faces() -> ParityInputs:
    """Noise with the mean and variance of an input, where there are no faces."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((_BATCH, 1, INPUT_SIZE, INPUT_SIZE)).astype(np.float32)
    return ParityInputs(inputs, f"{_BATCH} random inputs (--check STORE takes real faces)")


def predict(classifier: Classifier, inputs: NDArray[np.float32], title: str) -> NDArray[np.float32]:
    """(n, K) probabilities of (n, 1, 48, 48) inputs, in batches, with a progress bar."""
    console = Console(stderr=True)
    starts = track(
        range(0, len(inputs), _BATCH),
        title,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    return np.concatenate([classifier(inputs[start : start + _BATCH]) for start in starts])


def compare(first: NDArray[np.float32], second: NDArray[np.float32]) -> Parity:
    """Compare (n, K) probabilities of the same inputs.

    >>> compare(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]]))
    Parity(faces=1, difference=0.25, agreeing=0)
    """
    agreeing = int((first.argmax(1) == second.argmax(1)).sum())
    return Parity(len(first), float(np.abs(first - second).max()), agreeing)


def check(
    network: Classifier,
    exported: Classifier,
    sample: ParityInputs,
    most: float = LARGEST_DIFFERENCE,
) -> Parity:
    """Compare an exported file with its network, in batches of several sizes.

    Args:
        network: The network.
        exported: The file's classifier.
        sample: Inputs.
        most: The largest difference of a probability that rounding explains.

    Raises:
        FerlitError: they differ by more.
    """
    expected = predict(network, sample.inputs, "the network")
    parity = compare(expected, predict(exported, sample.inputs, "the exported file"))
    for size in _SMALL_BATCHES:
        small = compare(expected[:size], exported(sample.inputs[:size]))
        parity = parity._replace(difference=max(parity.difference, small.difference))
    # Written so that a NaN fails.
    if not parity.difference <= most:
        raise FerlitError(
            f"the exported file does not give what the network gives: on {sample.name}, {parity} "
            f"(allowed is {most:g}). Nothing was written. Does the network give the "
            "same twice, for one face and for many?"
        )
    return parity


def check_int8(parity: Parity) -> None:
    """Whether a quantised file is still the same network.

    Raises:
        FerlitError: too many labels are others.
    """
    if not parity.agreeing >= _LEAST_AGREEMENT * parity.faces:
        raise FerlitError(
            f"int8 changes the network too much: {parity} (at least "
            f"{_LEAST_AGREEMENT:.0%} must agree). Nothing was written. Give more faces with "
            "--calibration, or export without --int8"
        )
