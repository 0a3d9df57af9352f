from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ferlit.data.loading.dataset import FaceDataset
from ferlit.data.loading.transforms import (
    Augmentation,
    FaceTransform,
    standardize,
    subtract_plane,
)
from ferlit.errors import UsageError

RNG = np.random.default_rng(0)
FACE = RNG.integers(0, 256, (60, 60), dtype=np.uint8)


def test_the_plane_is_the_least_squares_plane() -> None:
    image = RNG.normal(size=(48, 40))
    y, x = np.mgrid[:48, :40]
    design = np.stack([np.ones(image.size), x.ravel(), y.ravel()], axis=1)
    plane = design @ np.linalg.lstsq(design, image.ravel(), rcond=None)[0]
    expected = image - plane.reshape(48, 40)
    np.testing.assert_allclose(subtract_plane(image), expected, atol=1e-5)


def test_uneven_light_is_removed() -> None:
    plain = FaceTransform(train=False, equalize=False)
    face = RNG.integers(60, 120, (60, 60))
    light = np.add.outer(np.arange(60), 2 * np.arange(60))
    lit = plain((face + light // 2).clip(0, 255).astype(np.uint8))
    unlit = plain(face.astype(np.uint8))
    assert torch.corrcoef(torch.stack([lit.flatten(), unlit.flatten()]))[0, 1] > 0.99


def test_the_result_is_standardised() -> None:
    image = FaceTransform(train=False)(FACE)
    assert image.shape == (1, 48, 48)
    assert image.dtype == torch.float32
    assert image.mean().item() == pytest.approx(0, abs=1e-5)
    assert image.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_a_constant_face_gives_no_nan() -> None:
    image = FaceTransform(train=False)(np.full((60, 60), 7, np.uint8))
    assert torch.isfinite(image).all()


def test_evaluation_takes_the_centre_crop() -> None:
    raw = FaceTransform(train=False, equalize=False, fit_plane=False)(FACE)
    crop = FACE[6:54, 6:54].astype(np.float32)
    np.testing.assert_allclose(raw[0], (crop - crop.mean()) / crop.std(), atol=1e-5)


def test_the_seed_fixes_crop_and_flip() -> None:
    transform = FaceTransform(train=True)
    first = [transform(FACE, seed) for seed in range(20)]
    again = [transform(FACE, seed) for seed in reversed(range(20))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_seeds_cover_the_crops_and_both_flips() -> None:
    transform = FaceTransform(train=True, equalize=False, fit_plane=False)
    ramp = np.tile(np.arange(60, dtype=np.uint8), (60, 1))
    rising = [bool(transform(ramp, seed)[0, 0, 1] > transform(ramp, seed)[0, 0, 0])
              for seed in range(100)]  # fmt: skip
    assert 30 < sum(rising) < 70
    distinct = {transform(FACE, seed).numpy().tobytes() for seed in range(100)}
    assert len(distinct) > 60


STRONG = Augmentation(flip=0, rotation=15, zoom=0.1, shift=3, erase=0.5)


def test_a_strong_augmentation_is_fixed_by_the_seed_and_leaves_evaluation_alone() -> None:
    transform = FaceTransform(train=True, augment=STRONG)
    first = [transform(FACE, seed) for seed in range(10)]
    again = [transform(FACE, seed) for seed in reversed(range(10))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({image.numpy().tobytes() for image in first}) == 10
    plain = FaceTransform(train=False)(FACE)
    assert torch.equal(FaceTransform(train=False, augment=STRONG)(FACE), plain)


def test_a_rotation_turns_the_face_by_up_to_its_angle() -> None:
    """A vertical bar: its principal axis after the transform tells the angle."""
    bar = np.zeros((60, 60), np.uint8)
    bar[12:48, 28:32] = 255
    only = Augmentation(flip=0, rotation=20)
    transform = FaceTransform(train=True, augment=only, equalize=False, fit_plane=False)
    angles = []
    for seed in range(60):
        y, x = np.nonzero(transform(bar, seed)[0].numpy() > 0)
        axis = np.linalg.eigh(np.cov(x, y))[1][:, 1]
        angles.append(np.degrees(np.arctan(axis[0] / axis[1])))
    assert np.abs(angles).max() <= 20.5
    assert min(angles) < -12
    assert max(angles) > 12


def test_a_zoom_changes_the_size() -> None:
    disc = ((np.add.outer((np.arange(60) - 29.5) ** 2, (np.arange(60) - 29.5) ** 2)) < 144) * 255
    only = Augmentation(flip=0, zoom=0.2)
    transform = FaceTransform(train=True, augment=only, equalize=False, fit_plane=False)
    radii = [np.sqrt((transform(disc.astype(np.uint8), seed)[0].numpy() > 0).sum() / np.pi)
             for seed in range(40)]  # fmt: skip
    assert 12 * 0.78 < min(radii) < 12 * 0.9
    assert 12 * 1.1 < max(radii) < 12 * 1.22


def test_erasing_empties_a_rectangle_at_the_mean() -> None:
    transform = FaceTransform(train=True, augment=Augmentation(erase=1))
    for seed in range(10):
        empty = (transform(FACE, seed)[0] == 0).sum().item()
        assert 0.015 * 48**2 < empty < 0.22 * 48**2


@pytest.mark.parametrize("wrong", [{"flip": 2}, {"rotation": -1}, {"zoom": 0.9}, {"erase": 1.5}])
def test_an_augmentation_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(wrong))}={next(iter(wrong.values()))}"):
        Augmentation(**wrong)  # type: ignore[arg-type]


def by_albumentations(
    face: NDArray[np.uint8], seed: int, augment: Augmentation, *, equalize: bool
) -> NDArray[np.float32]:
    """The oracle: one face through albumentations' own steps."""
    limits = -augment.shift, augment.shift
    affine = A.Affine(
        rotate=(-augment.rotation, augment.rotation),
        scale=(1 - augment.zoom, 1 + augment.zoom),
        translate_px=limits,
        border_mode=cv2.BORDER_REFLECT_101,
        p=1.0,
    )
    steps: list[Any] = [affine] if augment.is_affine else []
    steps += [A.RandomCrop(48, 48), A.HorizontalFlip(p=augment.flip)]
    steps += [A.Equalize(p=1.0)] if equalize else []
    pipeline = A.Compose(steps)
    pipeline.set_random_seed(seed)
    image = standardize(subtract_plane(pipeline(image=face)["image"]))
    erasing = A.Erasing(scale=(0.02, 0.2), fill=0, p=augment.erase)
    erasing.set_random_seed(seed)
    return np.asarray(erasing(image=image)["image"])


@pytest.mark.parametrize("equalize", [True, False])
@pytest.mark.parametrize(
    "augment",
    [
        Augmentation(),
        Augmentation(flip=0),
        Augmentation(flip=1, erase=0.5),
        Augmentation(rotation=12, zoom=0.15, shift=4, erase=0.3),
        Augmentation(shift=2),
        Augmentation(zoom=0.2, flip=0.3),
    ],
    ids=["paper", "no flips", "erasing", "strong", "shift", "zoom"],
)
def test_whole_batches_have_the_pixels_of_albumentations(
    augment: Augmentation, equalize: bool
) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, (40, 60, 60), dtype=np.uint8)
    smooth = np.stack([cv2.GaussianBlur(face, (0, 0), 4) for face in noise])
    faces = np.concatenate([noise, smooth, np.full((1, 60, 60), 9, np.uint8)])
    seeds = rng.integers(2**63, size=len(faces)).tolist()
    transform = FaceTransform(train=True, augment=augment, equalize=equalize)
    images = transform.batch(faces, seeds)
    for face, seed, image in zip(faces, seeds, images, strict=True):
        expected = by_albumentations(face, seed, augment, equalize=equalize)
        np.testing.assert_array_equal(image[0], expected)
        assert torch.equal(transform(face, seed), image)


@pytest.mark.parametrize(("independent", "kinds"), [(True, 4), (False, 2)])
def test_independent_draws_flip_crops_from_everywhere(independent: bool, kinds: int) -> None:
    """Else a crop from the upper half is always flipped, and one from the lower half never."""
    transform = FaceTransform(train=True, augment=Augmentation(independent=independent))
    draws = transform.draw(range(300), (60, 60))
    tops, is_flipped = draws.places[:, 0], draws.flipped
    away = tops != 6  # the middle, whose crops are of both kinds
    assert 100 < is_flipped.sum() < 200
    assert len(set(zip(tops[away] > 6, is_flipped[away], strict=True))) == kinds


def test_a_dataset_gives_the_same_batch_whatever_its_order() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (5, 60, 60), dtype=np.uint8)
    labels, rows = np.arange(5) % 3, np.array([4, 0, 2])
    dataset = FaceDataset(faces, labels, np.arange(5), rows, FaceTransform(train=True))
    batch = dataset.__getitems__([(0, 7), (2, 9)])
    assert batch.row.tolist() == [4, 2]
    assert batch.label.tolist() == [1, 2]
    assert batch.image.shape == (2, 1, 48, 48)
    assert torch.equal(batch.image[1:], dataset[(2, 9)].image)
    assert torch.equal(dataset.__getitems__([(2, 9), (0, 7)]).image, batch.image.flip(0))


def test_five_crops_are_the_centre_and_the_corners() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 60, 60), dtype=np.uint8)
    transform = FaceTransform(train=False, crops=5)
    images = transform.batch(faces, [0] * 3)
    assert images.shape == (3, 5, 1, 48, 48)
    plain = FaceTransform(train=False)
    assert torch.equal(images[:, 0], plain.batch(faces, [0] * 3))
    for number, (down, right) in enumerate([(0, 0), (0, 12), (12, 0), (12, 12)], start=1):
        moved = np.roll(faces, (6 - down, 6 - right), (1, 2))
        assert torch.equal(images[:, number], plain.batch(moved, [0] * 3))


@pytest.mark.parametrize(("train", "crops"), [(False, 3), (True, 5), (False, 0)])
def test_other_numbers_of_crops_are_refused(train: bool, crops: int) -> None:
    with pytest.raises(UsageError, match=f"crops={crops}: 1 in training, 1 or 5 in evaluation"):
        FaceTransform(train, crops=crops)
