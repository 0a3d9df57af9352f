"""Faces that the device holds and cuts, beside those that loaders cut."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from ferlit.cli import main
from ferlit.data import ExpressionDataModule, TupleDataModule
from ferlit.data.loading import on_device
from ferlit.data.loading.dataset import Batch
from ferlit.data.loading.geometry import cut
from ferlit.data.loading.on_device import pack, transform, upload
from ferlit.data.loading.transforms import Augmentation, FaceTransform
from ferlit.data.store import Store
from ferlit.data.store.joined import JoinedFaces
from ferlit.errors import FerlitError
from tests.ferlit.training.fits import fit_options

STRONG = Augmentation(rotation=12, zoom=0.15, shift=4, erase=0.3, independent=True)
COMBINATIONS = pytest.mark.parametrize("fit_plane", [True, False])


@pytest.fixture(scope="module")
def faces() -> NDArray[np.uint8]:
    """Noise, smooth noise, an even face, and one of two greys; higher than wide."""
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (60, 62, 60), dtype=np.uint8)
    smooth = np.stack([cv2.GaussianBlur(face, (0, 0), 4) for face in noise])
    even = np.full((1, 62, 60), 9, np.uint8)
    halves = np.where(np.arange(60) < 30, 250, 3).astype(np.uint8)
    return np.concatenate([noise, smooth, even, np.broadcast_to(halves, (1, 62, 60))])


def both(
    faces: NDArray[np.uint8], cutter: FaceTransform, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """What loaders make, and what the device does."""
    seeds = np.random.default_rng(seed).integers(2**63, size=len(faces)).tolist()
    draws = pack(cutter.draw(seeds, (faces.shape[1], faces.shape[2])))
    repeated = torch.from_numpy(faces).repeat_interleave(cutter.crops, 0)
    options = {"equalize": cutter.equalize, "fit_plane": cutter.fit_plane}
    images = transform(repeated, draws, 48, **options)
    loaded = cutter.batch(faces, seeds)
    return loaded, images.view(loaded.shape)


@COMBINATIONS
@pytest.mark.parametrize("equalize", [True, False])
@pytest.mark.parametrize(
    "augment", [Augmentation(), Augmentation(flip=1, erase=0.5)], ids=["paper", "erasing"]
)
def test_crops_flips_and_histograms_are_the_same(
    faces: NDArray[np.uint8], augment: Augmentation, equalize: bool, fit_plane: bool
) -> None:
    cutter = FaceTransform(True, augment=augment, equalize=equalize, fit_plane=fit_plane)
    loaded, images = both(faces, cutter)
    torch.testing.assert_close(images, loaded, rtol=0, atol=2e-6)
    assert (loaded == 0).any(-1).any() == (images == 0).any(-1).any()


def test_turned_faces_differ_by_a_grey_value_in_few_pixels(faces: NDArray[np.uint8]) -> None:
    seeds = range(len(faces))
    draws = FaceTransform(True, augment=STRONG).draw(seeds, (faces.shape[1], faces.shape[2]))
    packed = pack(draws)
    maps, places = packed[:, :6].view(torch.float32), packed[:, 6:9].long()
    found = on_device.cut(torch.from_numpy(faces), maps, places, 48)
    moved = np.abs(found.numpy() - cut(faces, draws, 48).astype(int))
    assert moved.max() <= 1
    assert (moved > 0).mean() < 1e-3


@COMBINATIONS
def test_a_strong_augmentation_is_the_same_to_a_grey_value(
    faces: NDArray[np.uint8], fit_plane: bool
) -> None:
    noise = faces[:60]  # which varies by so much that a grey value is little of it
    cutter = FaceTransform(True, augment=STRONG, equalize=False, fit_plane=fit_plane)
    loaded, images = both(noise, cutter)
    torch.testing.assert_close(images, loaded, rtol=0, atol=0.03)


@pytest.mark.parametrize("crops", [1, 5])
def test_the_crops_of_an_evaluation_are_the_same(faces: NDArray[np.uint8], crops: int) -> None:
    loaded, images = both(faces, FaceTransform(False, crops=crops))
    torch.testing.assert_close(images, loaded, rtol=0, atol=2e-6)


def test_faces_come_to_the_device_whole(
    faces: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "_AT_ONCE", 7)
    joined = JoinedFaces([faces[:50], faces[50:]])
    assert torch.equal(upload(joined, torch.device("cpu")), torch.from_numpy(faces))


def test_a_device_without_room_is_named(
    faces: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(FerlitError, match=r"on_device true: cpu has no room for 122 faces"):
        upload(faces, torch.device("cpu"))


def test_a_data_module_gives_the_same_batches(store: Store) -> None:
    def batches(kind: type[ExpressionDataModule], is_on_device: bool) -> list[Batch]:
        data = kind(store=store.folder, fold=0, folds=4, num_workers=0, on_device=is_on_device)
        data.setup("fit")
        loaders = data.train_dataloader(), data.val_dataloader()
        found = [batch for loader in loaders for batch in loader]
        return [data.on_after_batch_transfer(batch, 0) for batch in found]

    for kind in (ExpressionDataModule, TupleDataModule):
        pairs = list(zip(batches(kind, False), batches(kind, True), strict=True))
        for loaded, held in pairs:
            assert held.draws is None
            assert torch.equal(loaded.row, held.row)
            torch.testing.assert_close(held.image, loaded.image, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    "more",
    [
        # Learning slowly, as mining turns a rounding into another choice.
        ("--data.num_workers=2", "--data.eval_crops=5", "--model.optimizer.lr=1e-4"),
        ("--config=systems/softmax.yaml", "--trainer.precision=64-true", "--model.mixup=0.2"),
    ],
    ids=["tuples, workers, crops", "double precision, mixup"],
)
def test_a_fit_learns_the_same(store: Store, tmp_path: Path, more: tuple[str, ...]) -> None:
    tables = []
    for is_on_device in ("false", "true"):
        options = (*more, "--trainer.max_epochs=1", f"--data.on_device={is_on_device}")
        runs = tmp_path / is_on_device
        assert main(fit_options(store.folder, runs, *options)) == 0
        (table,) = runs.rglob("metrics.csv")
        tables.append(pd.read_csv(table))
    pd.testing.assert_frame_equal(tables[1], tables[0], rtol=1e-3, atol=1e-5)
