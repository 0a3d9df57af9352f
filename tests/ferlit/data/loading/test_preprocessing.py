from dataclasses import asdict

import numpy as np
import torch

from ferlit.data.loading.preprocessing import Preprocessing, flip_averaged
from ferlit.data.loading.transforms import Augmentation, FaceTransform

FACES = np.random.default_rng(0).integers(0, 256, (3, 60, 60), dtype=np.uint8)


def test_it_is_written_as_plain_data_and_read_again() -> None:
    preprocessing = Preprocessing("dlib", equalize=False)
    written = asdict(preprocessing)
    assert written == {"landmarks": "dlib", "equalize": False, "fit_plane": True}
    assert Preprocessing.of(written) == preprocessing
    assert Preprocessing.of({}) == Preprocessing()


def test_its_inputs_are_those_of_an_evaluation() -> None:
    for preprocessing in (Preprocessing(), Preprocessing(equalize=False, fit_plane=False)):
        settings = {"equalize": preprocessing.equalize, "fit_plane": preprocessing.fit_plane}
        transform = FaceTransform(train=False, **settings)
        expected = torch.stack([transform(face) for face in FACES]).numpy()
        np.testing.assert_array_equal(preprocessing.inputs(FACES), expected)


def test_its_training_transform_augments() -> None:
    augment = Augmentation(flip=1)
    given = Preprocessing(equalize=False).transform(train=True, augment=augment)
    expected = FaceTransform(train=True, augment=augment, equalize=False)
    assert torch.equal(given(FACES[0], 5), expected(FACES[0], 5))


def test_flip_averaging_is_the_same_of_tensors_and_of_arrays() -> None:
    weight = torch.randn(48, 7, generator=torch.Generator().manual_seed(0))
    images = torch.randn(4, 1, 48, 48, generator=torch.Generator().manual_seed(1))

    def classify(faces: torch.Tensor) -> torch.Tensor:
        return (faces[:, 0, 0] @ weight).softmax(1)

    def classify_arrays(faces: np.ndarray) -> np.ndarray:
        return classify(torch.from_numpy(faces)).numpy()

    averaged = flip_averaged(classify, images)
    torch.testing.assert_close(averaged, (classify(images) + classify(images.flip(3))) / 2)
    np.testing.assert_array_equal(flip_averaged(classify_arrays, images.numpy()), averaged.numpy())
