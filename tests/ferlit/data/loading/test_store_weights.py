"""How often the faces of each of several stores are shown in an epoch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ferlit.data import ExpressionDataModule, TupleDataModule
from ferlit.data.loading.samplers import ShuffledBatches
from ferlit.errors import UsageError
from tests.ferlit.data.written_stores import CLASSES, write_store

PEOPLE = ("1", "2", "3", "4", "5", "6")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A store with three classes, and one with two of them and one more; 6 persons each."""
    folder = tmp_path_factory.mktemp("weighed")
    one = write_store(folder / "one", "jaffe", people=PEOPLE, each=4)
    two = write_store(
        folder / "two", "kdef", people=PEOPLE, classes=("neutral", *CLASSES[:2]), seed=1
    )
    return [one.folder, two.folder]


def data_of(folders: list[Path], **options: object) -> ExpressionDataModule:
    kind = TupleDataModule if options.pop("tuples", False) else ExpressionDataModule
    defaults = {"store": folders, "fold": 0, "folds": 6, "num_workers": 0, "batch_size": 16}
    data = kind(**defaults | options)  # type: ignore[arg-type]
    data.setup("fit")
    return data


def shown(data: ExpressionDataModule, epoch: int) -> list[int]:
    """The rows of an epoch in their order; of tuples the queries."""
    loader = data.train_dataloader()
    loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
    step = sum(data.tuple_size or (1,))
    return torch.cat([batch.row[::step] for batch in loader]).tolist()


@pytest.mark.parametrize("tuples", [False, True])
@pytest.mark.parametrize("weights", [[1, 2.5], {"kdef": 2.5, "jaffe": 1}])
def test_a_weight_says_how_often_a_face_is_shown(
    folders: list[Path], weights: object, tuples: bool
) -> None:
    data = data_of(folders, store_weights=weights, tuples=tuples)
    training = np.flatnonzero(data.split == "train")
    first = training[training < 72]
    second = training[training >= 72]
    assert min(len(first), len(second)) > 15
    halves = []
    for epoch in range(3):
        counts = np.bincount(shown(data, epoch), minlength=108)
        assert (counts[first] == 1).all()
        assert set(counts[second]) == {2, 3}
        assert counts[second].sum() == 2.5 * len(second)
        assert counts.sum() == len(first) + 2.5 * len(second)
        halves.append(tuple(counts[second] == 3))
    assert len(set(halves)) == 3


@pytest.mark.parametrize("tuples", [False, True])
def test_balanced_classes_are_equally_frequent_and_weighed_within(
    folders: list[Path], tuples: bool
) -> None:
    data = data_of(folders, store_weights=[1, 4], balanced=True, tuples=tuples)
    is_second = np.arange(108) >= 72
    training = data.split == "train"
    total = sum(np.zeros(108) + np.bincount(shown(data, e), minlength=108) for e in range(4))
    assert total.sum() == 4 * ((training & ~is_second).sum() + 4 * (training & is_second).sum())
    by_class = [total[data.labels == label].sum() for label in range(4)]
    assert max(by_class) - min(by_class) <= 4
    for label in (1, 2):  # anger and fear, which both stores have
        mine = training & (data.labels == label)
        rates = [total[mine & which].mean() for which in (~is_second, is_second)]
        assert rates[1] / rates[0] == pytest.approx(4, rel=0.15)


def test_the_shares_of_the_classes_are_those_that_an_epoch_shows(folders: list[Path]) -> None:
    data = data_of(folders, store_weights=[0.5, 3])
    rows = [row for epoch in range(60) for row in shown(data, epoch)]
    counts = np.bincount(data.labels[rows], minlength=4)
    assert data.class_shares() == pytest.approx((counts / counts.sum()).tolist(), abs=0.01)
    unweighted = data_of(folders).class_shares()
    assert not np.allclose(unweighted, data.class_shares(), atol=0.05)


def test_draws_depend_on_seed_and_epoch_alone(folders: list[Path]) -> None:
    kwargs = {"store_weights": [1, 2.5], "balanced": True}
    alone = shown(data_of(folders, **kwargs), 2)
    assert shown(data_of(folders, num_workers=2, **kwargs), 2) == alone
    assert shown(data_of(folders, seed=1, **kwargs), 2) != alone
    assert shown(data_of(folders, **kwargs), 3) != alone


def test_ranks_share_the_weighted_epoch_of_one_process() -> None:
    weights = np.array([1.0] * 10 + [2.5] * 7)  # 27.5: 28 images
    whole = ShuffledBatches(17, 8, seed=0, weights=weights)
    ranks = [
        ShuffledBatches(17, 4, seed=0, rank=rank, num_replicas=2, weights=weights)
        for rank in (0, 1)
    ]
    assert len(whole) == len(ranks[0]) == len(ranks[1]) == 4
    joined = [
        [image for pair in zip(*parts, strict=True) for image in pair]
        for parts in zip(*ranks, strict=True)
    ]
    assert joined == list(whole)


def test_weights_of_one_are_no_weights(folders: list[Path]) -> None:
    assert shown(data_of(folders, store_weights=[1, 1.0]), 1) == shown(data_of(folders), 1)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ([1], "1 weights for 2 stores, jaffe, kdef"),
        ([1, 0], "0 for kdef; it must be a number above 0"),
        ([1, float("nan")], "nan for kdef"),
        ([1, 0.001], "0.001 for kdef shows none of its"),
        ({"jaffe": 1}, "none for kdef; they are jaffe, kdef"),
        ({"jaffe": 1, "kdef": 2, "ck48": 3}, "no store is called ck48"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    folders: list[Path], weights: object, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        data_of(folders, store_weights=weights)


def test_weights_of_one_store_are_refused(folders: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"there is one, .*one; leave it out"):
        data_of(folders[:1], store_weights=[2])
