"""``python -m benchmarks.embeddings --data digits``, for short ``python -m benchmarks.digits``."""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console

from benchmarks.embeddings.digits import digits
from benchmarks.embeddings.faces import faces
from benchmarks.embeddings.images import DataSet, Images
from benchmarks.embeddings.losses import CLASSES, OURS, THEIRS, TUPLES, choice
from benchmarks.embeddings.scores import by_label_alone, scores_of
from benchmarks.embeddings.tables import Runs, table_of_differences, table_of_means
from benchmarks.embeddings.training import trained, tuple_sampler

BATCHES = {"tuples": TUPLES, "classes": CLASSES}


def main(arguments: list[str] | None = None) -> None:
    given = _given(arguments)
    torch.set_num_threads(1)
    data = digits() if given.data == "digits" else faces(given.fer2013, given.ferplus)
    epochs = data.epochs if given.epochs is None else given.epochs
    train, judged = data.images.part("train"), data.images.part(given.split)
    kept, runs = Kept(given.scores), Runs()
    tasks = [
        (chosen, kind)
        for chosen in given.losses
        for kind in (map(BATCHES.__getitem__, given.batches) if given.batches else chosen.batches)
    ]
    for seed in given.seeds:
        for chosen, kind in tasks:
            key = [given.data, given.split, chosen.name, kind, seed, epochs, given.rate]
            if (found := kept.get(key)) is None:
                start = time.perf_counter()
                network = trained(
                    data, train, chosen, kind, seed, epochs, given.rate, given.compile
                )
                with torch.no_grad():
                    found = scores_of(F.normalize(network(judged.inputs)), judged)
                kept.add(key, found)
                line = ", ".join(f"{score:.1f}" for score in found)
                seconds = time.perf_counter() - start
                said = f"{chosen.name}, {kind}, seed {seed}: {line} ({seconds:.1f} s)"
                print(said, file=sys.stderr, flush=True)
            runs.setdefault((chosen.name, kind), []).append(found)
    print(describe(data, train, judged, given.split, epochs))
    print(f"Seeds {given.seeds}, {epochs} epochs, learning rate {given.rate:g}.\n")
    console = Console(width=200)
    console.print(table_of_means(runs, scores_of(judged.inputs.flatten(1), judged)))
    for kind in BATCHES.values():
        compared = {names: scores for names, scores in runs.items() if names[1] == kind}
        if given.against and (given.against, kind) in compared:
            print(f"\nLess {given.against}, seed by seed: mean ± standard deviation; p of paired")
            print(f"t-tests, by Holm's method for the {len(compared) - 1} losses of a column.\n")
            console.print(table_of_differences(compared, (given.against, kind)))


def describe(data: DataSet, train: Images, judged: Images, split: str, epochs: int) -> str:
    neighbour, probed = by_label_alone(judged)
    sampler = tuple_sampler(data, train, 0)
    for _ in sampler:
        pass
    own, by_positives, anyone = sampler.sources
    images = len(judged.labels)
    return (
        f"{len(train.labels)} training images by 20 {data.person}s; {split}: {images} by 10 others."
        f"\nOf {sum(sampler.sources)} negatives in an epoch {own} are by the query's {data.person},"
        f"\n{by_positives} by a positive's, {anyone} by anyone.\n"
        f"{epochs * len(sampler)} steps of {data.batch_size} images. Per cent, mean ± standard "
        "deviation over the seeds.\n"
        f"Recall@1, MAP@R: retrieval among the other {images - 1} images, Euclidean distance;\n"
        f"others: without the images by the query's own {data.person}.\n"
        f"Neighbour: how often the nearest image is by the query's {data.person} "
        f"({neighbour:.1f} if the embedding knew the label only).\n"
        f"Probe: logistic regression, fitted on {images // 2} of the images, tells the "
        f"{data.person} of\nthe other {images - images // 2} (chance 10.0; {probed:.1f} from the "
        "label only)."
    )


class Kept:
    """Scores in a file of JSON lines; without a file none are kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.scores: dict[str, list[float]] = {}
        if path is not None and path.is_file():
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                self.scores[json.dumps(entry["run"])] = entry["scores"]

    def get(self, run: list[str | int | float]) -> list[float] | None:
        return self.scores.get(json.dumps(run))

    def add(self, run: list[str | int | float], scores: list[float]) -> None:
        self.scores[json.dumps(run)] = scores
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"run": run, "scores": scores}) + "\n")


def _given(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=("digits", "faces"), required=True)
    parser.add_argument("--fer2013", type=Path, metavar="FILE", help="fer2013.csv, for the faces")
    parser.add_argument("--ferplus", type=Path, metavar="FILE", help="fer2013new.csv, likewise")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="the default depends on the data")
    parser.add_argument(
        "--losses",
        type=choice,
        nargs="+",
        metavar="NAME[:OPTION=VALUE,...]",
        default=[choice(name) for name in (*OURS, *THEIRS)],
        help="rate=0.1 among the options: its own parameters learn at a tenth of the rate",
    )
    parser.add_argument(
        "--batches",
        nargs="+",
        choices=BATCHES,
        help="default: both; tuples for losses with options",
    )
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate")
    parser.add_argument(
        "--compile", action="store_true", help="the network; pays from some 30 runs on"
    )
    parser.add_argument("--against", metavar="NAME", help="compare with this one of --losses")
    parser.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="append the scores of each run to it, and repeat none that it holds: "
        "take a new one where the code has changed",
    )
    given = parser.parse_args(arguments)
    names = [chosen.name for chosen in given.losses]
    if len({*names}) < len(names) or len({*given.seeds}) < len(given.seeds):
        parser.error("--losses, --seeds: one is given twice")
    if given.against is not None and given.against not in names:
        parser.error(f"--against {given.against}: not one of --losses {' '.join(names)}")
    if given.against is not None and len(given.seeds) < 2:
        parser.error("--against: a paired test needs at least two --seeds")
    return given
