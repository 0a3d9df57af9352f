"""What shows nothing is no face, in whatever database or program it lies."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferlit.data.databases import DATABASES
from ferlit.data.faces.flatness import FlatFaceError, check_face
from ferlit.data.preparation import prepare_store
from tests.ferlit.data.picture_files import encoded, smooth_noise

RNG = np.random.default_rng(0)
SPECK = np.full((60, 60), 200, np.uint8)
SPECK[:3, :8] = 0


@pytest.mark.parametrize(
    "face",
    [
        np.zeros((60, 60), np.uint8),
        np.full((60, 60), 255, np.uint8),
        np.full((60, 60), 90, np.uint8) + RNG.integers(0, 5, (60, 60), dtype=np.uint8),
        RNG.integers(0, 2, (60, 60), dtype=np.uint8),  # a mask, or 0..1 taken for 0..255
        SPECK,
    ],
    ids=["black", "white", "noise of two grey values", "zeros and ones", "a speck"],
)
def test_what_is_plain_or_nearly_plain_is_no_face(face: np.ndarray) -> None:
    with pytest.raises(FlatFaceError, match=r"^the face is (nearly )?plain"):
        check_face(face)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_face_of_few_bits_in_the_lowest_of_eight_is_no_face(bits: int) -> None:
    face = smooth_noise(60) >> (8 - bits)
    face[0, :8] = 255  # hot pixels of the camera
    with pytest.raises(FlatFaceError, match=r"^the face is nearly (plain|black)"):
        check_face(face)


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_a_face_in_little_light_stays(factor: float) -> None:
    face = (smooth_noise(60) * factor).astype(np.uint8)
    assert check_face(face) is face


FACE = smooth_noise(48)
PLAIN = np.full((48, 48), 7, np.uint8)


def csv_of(*pictures: np.ndarray) -> str:
    rows = [f"{k % 2},{' '.join(map(str, p.ravel()))},Training" for k, p in enumerate(pictures)]
    return "\n".join(["emotion,pixels,Usage", *rows])


def make_fer2013(root: Path) -> list[str]:
    (root / "fer2013.csv").write_text(csv_of(FACE, PLAIN, FACE, PLAIN))
    return ["fer2013.csv#1", "fer2013.csv#3"]


def make_ck48(root: Path) -> list[str]:
    names = [f"anger/S010_004_0000001{number}.png" for number in range(3)]
    (root / "anger").mkdir()
    for name, picture in zip(names, (FACE, FACE, PLAIN), strict=True):
        Image.fromarray(picture).save(root / name)
    return names[2:]


def make_folder(root: Path) -> list[str]:
    (root / "happy").mkdir()
    (root / "happy" / "a.png").write_bytes(encoded(FACE, "PNG"))
    (root / "happy" / "b.jpg").write_bytes(encoded(PLAIN, "JPEG"))
    (root / "happy" / "c.tif").write_bytes(encoded(FACE.astype(np.uint16) * 4, "TIFF"))
    return ["happy/b.jpg", "happy/c.tif"]


@pytest.mark.parametrize(
    ("name", "make"), [("fer2013", make_fer2013), ("ck48", make_ck48), ("folder", make_folder)]
)
def test_every_database_drops_what_shows_nothing_by_name(
    name: str, make: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    lost = make(root)
    store = prepare_store(
        DATABASES[name], root, tmp_path / "store", landmarks="none", progress=False
    )
    assert sorted(store.description.dropped) == lost
    reasons = set(store.description.dropped.values())
    assert all("plain" in reason or "low for 16 bits" in reason for reason in reasons)
    assert store.faces.reshape(len(store.faces), -1).std(axis=1).min() > 20
