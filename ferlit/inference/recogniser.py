"""From pictures to faces with their expressions, by the code that prepared the training faces."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.flatness import FlatFaceError
from ferlit.data.loading.preprocessing import flip_averaged
from ferlit.data.records import SequenceRule
from ferlit.errors import DataError, UsageError
from ferlit.inference.classifiers.loading import Classifier, load_classifier
from ferlit.inference.finding import FaceFinder, RegisteredFace, choose_finder
from ferlit.inference.inputs import Input, as_grey, check_batch, name_of_input
from ferlit.inference.prior import Prior, chosen_prior, ratios, with_prior
from ferlit.inference.videos import grey_frame, read_video
from ferlit.shipped import DEFAULT

logger = logging.getLogger(__name__)

T = TypeVar("T")
UNSURE = "unsure"  # in place of a label
BATCH = 8  # pictures in memory at a time; to find the faces takes longer than the network


@dataclass(frozen=True, eq=False)
class Face:
    """A recognised face; in its picture (0, 0) is the centre of the pixel at the upper left.

    Args:
        box: Its left, top, right and bottom edge, in pixels.
        points: (49, 2) landmarks in pixels; None where the picture is a cropped face.
        label: The expression with the highest probability, or "unsure".
        probabilities: One for each expression.
        score: How sure the detector is that it is a face; None where nothing was detected.
    """

    box: tuple[float, float, float, float]
    points: NDArray[np.float64] | None
    label: str
    probabilities: dict[str, float]
    score: float | None

    @property
    def probability(self) -> float:
        """The highest, which is the label's."""
        return max(self.probabilities.values())


class Recogniser:
    """Recognises the expressions of all faces of a picture.

    Args:
        model: A file (a checkpoint of a run, ``.safetensors``, ``.onnx`` or ``.pt2``), the name of
            a network that comes with ferlit, or a classifier. None takes the network that comes
            with ferlit.
        device: Where the network runs: "cpu", "cuda", "cuda:1", ...
        landmarks: What finds the faces: "mediapipe", "dlib", or "none" where each picture is a
            cropped face. None takes what the model was trained with.
        flip: Average the probabilities of a face and its mirror image.
        prior: How often the expressions are to be expected: "training" as often as they came there,
            "uniform", or shares by name, see `ferlit.inference.prior`. None takes what the model
            says: "training", unless it was exported with another.
        least: A face whose highest probability is lower gets the label "unsure".
        landmark_models: Folder with the model files of mediapipe; None for the user's cache, which
            is filled at the first use.
        trust: Modules whose classes a checkpoint may name, beside those of ferlit and PyTorch;
            their code is run.

    Raises:
        FerlitError: the file is no model, or the landmark models cannot be had.
        UsageError: there is no such device, or no such kind of landmarks, the prior does not go
            with the model, or ``least`` is no probability.

    >>> from ferlit.data.loading.preprocessing import Preprocessing
    >>> from ferlit.inference.classifiers.checkpoint import ModuleClassifier
    >>> from ferlit.training import ExpressionModule
    >>> untrained = ModuleClassifier(ExpressionModule(["anger", "happiness"]), Preprocessing())
    >>> recogniser = Recogniser(untrained, landmarks="none")
    >>> (face,) = recogniser.recognise(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48))
    >>> list(face.probabilities), round(sum(face.probabilities.values()), 3)
    (['anger', 'happiness'], 1.0)
    """

    def __init__(
        self,
        model: Path | str | Classifier | None = None,
        device: str = "cpu",
        landmarks: str | None = None,
        flip: bool = False,
        *,
        prior: Prior | None = None,
        least: float = 0.0,
        landmark_models: Path | None = None,
        trust: Sequence[str] = (),
    ) -> None:
        if not 0 <= least <= 1:
            raise UsageError(f"least={least}: a probability, from 0 to 1")
        if model is None:
            model = DEFAULT
            logger.info("no model is named: %s is taken, which comes with ferlit", model)
        if isinstance(model, (Path, str)):
            model = load_classifier(Path(model), device, trust=trust)
        self.classifier = model
        self.landmarks = choose_finder(model.preprocessing.landmarks, landmarks)
        self.find_faces = FaceFinder.of(self.landmarks, landmark_models)
        self.flip = flip
        self.least = least
        held = getattr(model, "prior", ())  # a classifier of the user's own need not say
        self.ratios = ratios(chosen_prior(prior, model), model.classes, held)

    @property
    def classes(self) -> tuple[str, ...]:
        """The expressions, in the order of the probabilities."""
        return self.classifier.classes

    @property
    def sequence_rule(self) -> SequenceRule:
        """How the images of a sequence vote, see `ferlit.inference.recognise.sequences`."""
        return self.classifier.sequence_rule

    def recognise(self, image: Input) -> list[Face]:
        """The faces of one picture, see `recognise_batch`."""
        return self.recognise_batch([image])[0]

    def recognise_batch(self, images: Sequence[Input]) -> list[list[Face]]:
        """The faces of several pictures.

        Args:
            images: Files, or pictures of any kind that `ferlit.inference.inputs.as_grey` takes.

        Returns:
            For each picture its faces, the largest first; none where it has none.

        Raises:
            DataError: one of them cannot be read, is no picture, or is to be a cropped face and is
                plain.
        """
        found = []
        for number, image in enumerate(check_batch(images)):
            try:
                found.append(self.find_faces(as_grey(image)))
            except DataError as error:
                name = name_of_input(image, number)
                if name in str(error):
                    raise
                raise DataError(f"{name}: {error}") from error
        return self.classify(found)

    def recognise_video(self, path: Path | str) -> Iterator[list[Face]]:
        """The faces of each frame of a video; it is never in memory as a whole.

        Args:
            path: A file that OpenCV reads.

        Yields:
            The faces of a frame, the largest first; none where the frame has none, or is to be a
            cropped face and is plain. A frame that is lost has none, and a warning names it.

        Raises:
            DataError: the file is no video.
        """
        lost = 0  # those behind the last one that is there are not counted
        for frames in batched(read_video(Path(path)), BATCH):
            pictures = [frame.read() for frame in frames if frame.read is not None]
            found = [self._faces_of_frame(grey_frame(picture)) for picture in pictures]
            recognised = iter(self.classify(found))
            for frame in frames:
                if frame.read is None:
                    logger.warning(
                        "%s: %d frames from number %d are lost: %s",
                        *(path, frame.length, frame.number, frame.problem),
                    )
                    lost += frame.length
                    continue
                for _ in range(lost):
                    yield []
                lost = 0
                yield next(recognised)

    def _faces_of_frame(self, grey: NDArray[np.uint8]) -> list[RegisteredFace]:
        try:
            return self.find_faces(grey)
        except FlatFaceError:
            return []  # films begin and end in black

    def label_of(self, probabilities: NDArray[np.floating]) -> str:
        """The expression with the highest of (K,) probabilities, or that it is unsure."""
        best = int(probabilities.argmax())
        return self.classes[best] if probabilities[best] >= self.least else UNSURE

    def inputs(self, faces: Sequence[RegisteredFace]) -> NDArray[np.float32]:
        """What the network gets, (B, 1, 48, 48): the centre crops that validation and test see."""
        return self.classifier.preprocessing.inputs(registered.face for registered in faces)

    def classify(self, found: Sequence[Sequence[RegisteredFace]]) -> list[list[Face]]:
        """The faces that were found in several pictures, recognised in one batch."""
        flat = [registered for of_picture in found for registered in of_picture]
        if not flat:
            return [[] for _ in found]
        classify = partial(flip_averaged, self.classifier) if self.flip else self.classifier
        probabilities = classify(self.inputs(flat))
        if self.ratios is not None:
            probabilities = with_prior(probabilities, self.ratios)
        faces = iter(
            Face(
                box=registered.box,
                points=registered.points,
                label=self.label_of(row),
                probabilities=dict(zip(self.classes, row.tolist(), strict=True)),
                score=registered.score,
            )
            for registered, row in zip(flat, probabilities, strict=True)
        )
        return [[next(faces) for _ in of_picture] for of_picture in found]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to ``size`` items, as they come.

    >>> list(batched("abc", 2))
    [['a', 'b'], ['c']]
    """
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
