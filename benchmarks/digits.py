"""Embeddings of digits that should ignore who wrote them: ``python -m benchmarks.digits``.

The images are scikit-learn's 1,797 handwritten digits; the writers are made up, see `make_digits`.
20 writers are for training, 10 for validation, 10 for the test; no image is in two of them. Every
loss trains the same network from the same start, with Adam, for equally many steps on batches of
equally many images, with the hyper-parameters it comes with. Network and learning rate are common
to all and were chosen on the validation writers (``--split val``).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions
from rich import box
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from nmloss import (
    AdaptiveNMTupleClustersLoss,
    CoupledClustersLoss,
    IdentityTupleSampler,
    NMTupleClustersLoss,
    NPlusOneTupletLoss,
    retrieval_scores,
    tuple_indices,
)

EMBEDDING_SIZE = 64
POSITIVES, NEGATIVES, TUPLES = 6, 9, 8  # 120 images a batch, or 12 of each digit
WRITERS = {"train": range(20), "val": range(20, 30), "test": range(30, 40)}
TUPLE_BATCHES, LABEL_BATCHES = "identity tuples", "class-balanced, all pairs"
BOTH = (TUPLE_BATCHES, LABEL_BATCHES)
LOSSES: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "NMTupleClustersLoss": (NMTupleClustersLoss, BOTH),
    "AdaptiveNMTupleClustersLoss": (lambda: AdaptiveNMTupleClustersLoss(EMBEDDING_SIZE), BOTH),
    "NPlusOneTupletLoss": (NPlusOneTupletLoss, BOTH),
    "CoupledClustersLoss": (CoupledClustersLoss, BOTH),
    "TripletMarginLoss": (pml.TripletMarginLoss, BOTH),
    "ContrastiveLoss": (pml.ContrastiveLoss, BOTH),
    "NTXentLoss": (pml.NTXentLoss, (TUPLE_BATCHES,)),  # half a second a step on all pairs
    "SupConLoss": (pml.SupConLoss, BOTH),
}
# Options of ours, by --losses alone.
VARIANTS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    **{
        f"NMTupleClustersLoss:sharpness={k}": (
            partial(NMTupleClustersLoss, sharpness=k),
            (TUPLE_BATCHES,),
        )
        for k in (8, 4, 2)
    },
    **{
        f"AdaptiveNMTupleClustersLoss:learn={what}": (
            partial(AdaptiveNMTupleClustersLoss, EMBEDDING_SIZE, learn=what),
            (TUPLE_BATCHES,),
        )
        for what in ("linear", "threshold", "nothing")
    },
}
COLUMNS = ("Recall@1", "MAP@R", "Recall@1, others", "MAP@R, others", "neighbour's writer", "probe")


class Digits(NamedTuple):
    images: Tensor  # (B, 1, 12, 12)
    labels: Tensor  # (B,) the digit
    writers: Tensor  # (B,)

    def part(self, writers: range) -> "Digits":
        chosen = torch.isin(self.writers, torch.tensor(writers))
        return Digits(*(field[chosen] for field in self))


def make_digits() -> Digits:
    """40 made-up writers, always the same.

    Writer w writes six of the ten digits, 3w to 3w + 5 modulo 10, and the images of a digit are
    dealt out to its writers. A writer has a background (a random sum of the 8 lowest cosines in
    two dimensions, standard deviation 0.2 where ink is 1), a contrast (0.5 to 1) and a shift (up to
    one pixel each way), the same in all of the writer's images.
    """
    rng = np.random.default_rng(0)
    digits = load_digits()
    labels = digits.target
    writers = np.empty_like(labels)
    for digit in range(10):
        of_digit = rng.permutation(np.flatnonzero(labels == digit))
        its_writers = [w for w in range(40) if (digit - 3 * w) % 10 < 6]
        writers[of_digit] = np.resize(its_writers, len(of_digit))
    images = np.pad(digits.images / 16, ((0, 0), (2, 2), (2, 2)))
    waves = np.cos(np.pi * np.outer(np.arange(3), (np.arange(12) + 0.5) / 12))
    for writer in range(40):
        weights = rng.normal(size=(3, 3))
        weights[0, 0] = 0
        background = waves.T @ weights @ waves
        background *= 0.2 / background.std()
        contrast, shift = rng.uniform(0.5, 1), rng.integers(-1, 2, size=2)
        own = writers == writer
        images[own] = contrast * np.roll(images[own], shift, axis=(1, 2)) + background
    fields = (images[:, None].astype(np.float32), labels, writers)
    return Digits(*(torch.from_numpy(field) for field in fields))


def tuple_sampler(train: Digits, seed: int) -> IdentityTupleSampler:
    return IdentityTupleSampler(
        train.labels,
        train.writers,
        positives=POSITIVES,
        tuples_per_batch=TUPLES,
        drop_last=True,
        seed=seed,
    )


def batches_of(train: Digits, kind: str, seed: int, epochs: int) -> Iterator[list[int]]:
    """Equally many of either kind; in an epoch of tuples every training image is a query once."""
    tuples = tuple_sampler(train, seed)
    if kind == TUPLE_BATCHES:
        for epoch in range(epochs):
            tuples.set_epoch(epoch)
            yield from tuples
    else:
        size, steps = TUPLES * (POSITIVES + NEGATIVES), epochs * len(tuples)
        common_functions.NUMPY_RANDOM = np.random.default_rng(seed)  # the sampler has no seed
        sampler = MPerClassSampler(train.labels, size // 10, size, steps * size)
        order = [int(index) for index in sampler]
        yield from (order[step * size : (step + 1) * size] for step in range(steps))


def train_network(
    train: Digits, loss_fn: nn.Module, kind: str, seed: int, epochs: int, rate: float
) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 9, EMBEDDING_SIZE)),
    )
    optimizer = torch.optim.Adam([*network.parameters(), *loss_fn.parameters()], lr=rate)
    tuples = tuple_indices(TUPLES, POSITIVES, NEGATIVES) if kind == TUPLE_BATCHES else None
    for batch in batches_of(train, kind, seed, epochs):
        optimizer.zero_grad()
        loss_fn(network(train.images[batch]), train.labels[batch], tuples).backward()
        optimizer.step()
    return network.eval()


def evaluate(vectors: Tensor, digits: Digits) -> list[float]:
    """The columns, in per cent."""
    distance = LpDistance(normalize_embeddings=False)
    everyone = retrieval_scores(vectors, digits.labels, distance=distance)
    others = retrieval_scores(
        vectors, digits.labels, query_identities=digits.writers, distance=distance
    )
    same_writer = retrieval_scores(vectors, digits.writers, distance=distance).recall[1]
    probed = probe(vectors.numpy(), digits.writers.numpy())
    found = (everyone.recall[1], everyone.map_at_r, others.recall[1], others.map_at_r)
    return [100 * score for score in (*found, same_writer, probed)]


def probe(vectors: NDArray[np.float32], writers: NDArray[np.int64]) -> float:
    """How often logistic regression tells the writer, fitted on one half, scored on the other."""
    halves = train_test_split(vectors, writers, test_size=0.5, stratify=writers, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return float(model.fit(halves[0], halves[2]).score(halves[1], halves[3]))


def describe(train: Digits, judged: Digits, split: str, steps: int) -> str:
    counts = torch.zeros(10, 40)
    counts.index_put_((judged.labels, judged.writers), torch.ones(()), accumulate=True)
    of_digit = counts.sum(dim=1, keepdim=True)
    neighbour = (counts * (counts - 1) / (of_digit - 1)).sum() / counts.sum()
    probed = counts.amax(dim=1).sum() / counts.sum()
    sampler = tuple_sampler(train, 0)
    for _ in sampler:
        pass
    own, by_positives, anyone = sampler.sources
    images, batch = len(judged.labels), TUPLES * (POSITIVES + NEGATIVES)
    return (
        f"{len(train.labels)} training images by 20 writers; {split}: {images} by 10 others.\n"
        f"Each writes 6 of 10 digits: of {sum(sampler.sources)} negatives in an epoch {own} are\n"
        f"by the query's writer, {by_positives} by a positive's, {anyone} by anyone.\n"
        f"{steps} steps of {batch} images. Per cent, mean ± standard deviation over the seeds.\n"
        f"Recall@1, MAP@R: retrieval among the other {images - 1} images, Euclidean distance;\n"
        "others: without the images by the query's own writer.\n"
        "Neighbour's writer: how often it is the query's "
        f"({100 * neighbour:.1f} if the embedding knew the digit only).\n"
        f"Probe: logistic regression, fitted on {images // 2} of the images, tells the writer of\n"
        f"the other {images - images // 2} (chance 10.0; {100 * probed:.1f} from the digit only)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--losses", nargs="+", choices=LOSSES | VARIANTS, default=list(LOSSES))
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate")
    given = parser.parse_args()
    torch.set_num_threads(1)
    digits = make_digits()
    train, judged = digits.part(WRITERS["train"]), digits.part(WRITERS[given.split])
    table = Table("embedding", "batches", *COLUMNS, "s/run", box=box.MARKDOWN)
    raw = evaluate(judged.images.flatten(1), judged)
    table.add_row("raw pixels", "", *(f"{score:.1f}" for score in raw), "")
    for name in given.losses:
        make_loss, kinds = (LOSSES | VARIANTS)[name]
        for kind in kinds:
            scores, start = [], time.perf_counter()
            for seed in given.seeds:
                network = train_network(train, make_loss(), kind, seed, given.epochs, given.rate)
                with torch.no_grad():
                    scores.append(evaluate(F.normalize(network(judged.images)), judged))
                found = ", ".join(f"{score:.1f}" for score in scores[-1])
                print(f"{name}, {kind}, seed {seed}: {found}", file=sys.stderr, flush=True)
            seconds = (time.perf_counter() - start) / len(given.seeds)
            cells = (mean_and_spread(column) for column in zip(*scores, strict=True))
            table.add_row(name, kind, *cells, f"{seconds:.1f}")
    print(describe(train, judged, given.split, given.epochs * len(tuple_sampler(train, 0))))
    print(f"Seeds {given.seeds}, {given.epochs} epochs, learning rate {given.rate:g}.\n")
    Console(width=200).print(table)


def mean_and_spread(scores: tuple[float, ...]) -> str:
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return f"{statistics.mean(scores):.1f} ± {spread:.1f}"


if __name__ == "__main__":
    main()
