"""Every kind of picture that a program may hand over: right, or refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ferlit.errors import DataError
from ferlit.inference.inputs import as_grey
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.data.picture_files import encoded, ramp, smooth_noise
from tests.ferlit.inference.conftest import Brightness
from tests.ferlit.inference.faces import write_video

GREY = smooth_noise(48)
RGB = np.dstack([GREY] * 3)


@pytest.fixture
def recogniser() -> Recogniser:
    return Recogniser(Brightness(), landmarks="none")


@pytest.mark.parametrize(
    "image",
    [
        GREY,
        GREY[:, ::-1][:, ::-1],
        RGB,
        np.dstack([RGB, np.full_like(GREY, 255)]),
        GREY.astype(np.uint16) * 257,
        GREY.astype(">u2") * np.uint16(257),
        Image.fromarray(GREY),
        Image.fromarray(RGB),
        Image.fromarray(RGB).convert("RGBA"),
        Image.fromarray(GREY.astype(np.uint16) * 257),
        encoded(GREY, "PNG"),
        bytearray(encoded(GREY, "BMP")),
    ],
    ids=lambda image: (
        f"{type(image).__name__} {getattr(image, 'mode', getattr(image, 'shape', ''))}"
    ),
)
def test_the_same_picture_has_the_same_answer_whatever_it_comes_as(
    image: Any, recogniser: Recogniser
) -> None:
    assert np.array_equal(as_grey(image), GREY)
    (face,), (expected,) = recogniser.recognise_batch([image, GREY])
    assert face.probabilities == expected.probabilities


def test_an_opened_file_of_pillow_and_its_name_are_one_picture(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(GREY, "PNG"))
    with Image.open(path) as image:
        (opened,) = recogniser.recognise(image)
    for named in (path, str(path)):
        (face,) = recogniser.recognise(named)
        assert face.probabilities == opened.probabilities


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (GREY / 255, "type float64; expected uint8"),
        (GREY.astype(np.float32), "type float32; expected uint8"),
        (np.full((48, 48), np.nan), "type float64; expected uint8"),
        (GREY.astype(np.int64), "type int64; expected uint8"),
        (GREY > 90, "type bool; expected uint8"),
        (RGB.transpose(2, 0, 1), r"shape \(3, 48, 48\).*the channels come last"),
        (GREY[None], r"shape \(1, 48, 48\).*the channels come last"),
        (GREY[..., None].repeat(2, 2), r"shape \(48, 48, 2\)"),
        (np.zeros((0, 48), np.uint8), r"shape \(0, 48\)"),
        (np.zeros((48, 0, 3), np.uint8), r"shape \(48, 0, 3\)"),
        (GREY[0], r"shape \(48,\)"),
        (ramp(1023, np.uint16), "low for 16 bits"),
        (Image.fromarray(ramp(1, np.float32)), "floating-point"),
        (Image.fromarray(GREY.astype(np.int32)), "low for 16 bits"),
        (torch.from_numpy(RGB), "type Tensor; .*permute"),
        ([GREY], "type list; .*recognise_batch takes several"),
        (None, "type NoneType"),
        (7, "type int"),
        (b"no picture", "not a picture of a known kind"),
        (b"", "not a picture of a known kind"),
        ("none.png", "none.png: there is no such file"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_it_is(
    image: Any, message: str, recogniser: Recogniser
) -> None:
    with pytest.raises(DataError, match=message):
        recogniser.recognise(image)


@pytest.mark.parametrize(
    "images", ["a.png", Path("a.png"), GREY, RGB, Image.fromarray(GREY), b"abc"]
)
def test_one_picture_is_no_batch(images: Any, recogniser: Recogniser) -> None:
    with pytest.raises(DataError, match="takes several pictures, and got one"):
        recogniser.recognise_batch(images)


def test_a_batch_as_one_array_is_its_pictures(recogniser: Recogniser) -> None:
    first, second = recogniser.recognise_batch(np.stack([RGB, RGB[::-1]]))
    assert first[0].probabilities == recogniser.recognise(GREY)[0].probabilities
    assert second[0].probabilities == recogniser.recognise(GREY[::-1])[0].probabilities


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_plain_picture_gets_no_label_and_is_named(value: int, recogniser: Recogniser) -> None:
    plain = np.full((48, 48), value, np.uint8)
    with pytest.raises(DataError, match=r"picture 1 \(ndarray\): the face is plain"):
        recogniser.recognise_batch([GREY, plain])
    with pytest.raises(DataError, match="plain"):
        recogniser.recognise(Image.fromarray(plain))


def test_a_film_may_begin_in_black(recogniser: Recogniser, tmp_path: Path) -> None:
    black = np.zeros((48, 64), np.uint8)
    write_video(str(tmp_path / "a.avi"), [black, np.pad(GREY, ((0, 0), (8, 8)), mode="edge")])
    assert [len(faces) for faces in recogniser.recognise_video(tmp_path / "a.avi")] == [0, 1]


def test_an_animation_is_not_taken_for_its_first_picture(recogniser: Recogniser) -> None:
    frames = [Image.fromarray(np.roll(GREY, shift)) for shift in (0, 5)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="it holds 2 pictures"):
        recogniser.recognise(content)


@pytest.mark.parametrize("images", [None, 3, {"a": GREY}, {"a.png"}])
def test_several_pictures_have_an_order(images: Any, recogniser: Recogniser) -> None:
    with pytest.raises(DataError, match="takes a list of pictures, and got a"):
        recogniser.recognise_batch(images)


def test_masked_pixels_have_no_value(recogniser: Recogniser) -> None:
    with pytest.raises(DataError, match="masked array"):
        recogniser.recognise(np.ma.masked_greater(GREY, 100))
