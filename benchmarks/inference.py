"""Speed of a trained network: ``python -m benchmarks.inference [--checkpoint CKPT --store STORE]``.

One thread, 48 x 48 crop to probabilities: one face at a time, and 64 at once. Then the whole path,
a 640 x 480 frame to a labelled face, and a frame without one. Without a checkpoint the network has
random weights, and without a store int8 is calibrated on noise: the speed is the same. Each time is
the median over rounds in which the runtimes take turns, so that a busy spell meets all of them;
beside the time on the clock stands the processor's, which other programs disturb less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.store import Store
from ferlit.data.synthetic import Person, Pose, draw_face
from ferlit.errors import DataError, FerlitError
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.exported import ExportedClassifier, OnnxClassifier
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.export.exporter import describe
from ferlit.inference.export.graphs import ProbabilityNetwork, write_onnx, write_pt2
from ferlit.inference.export.labelled_faces import LabelledFaces
from ferlit.inference.export.parity import compare, predict, random_faces
from ferlit.inference.export.quantise import quantise
from ferlit.inference.origin import Origin
from ferlit.inference.recogniser import Recogniser
from ferlit.runs.environment import processor
from ferlit.training import ExpressionModule

CLASSES = ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise"]
BATCH = 64
PAPER = "the paper: 5 ms an image on a Titan X (Liu et al. 2017)"
Classify = Callable[[Any], Any]


def untrained() -> ModuleClassifier:
    torch.manual_seed(0)
    module = ExpressionModule(CLASSES)
    module.train()
    with torch.no_grad():  # so that the normalisation has statistics of its own
        module(torch.from_numpy(random_faces().inputs))
    return ModuleClassifier(module, Preprocessing())


def systems(network: ModuleClassifier, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The network in every runtime, by name."""
    checkpoint = given.checkpoint or folder / "none"
    checkpoint.touch()
    origin = Origin.of(checkpoint)
    metadata, graph = describe(network, origin), ProbabilityNetwork(network.module)
    write_onnx(graph, folder / "float32.onnx", metadata)
    write_pt2(graph, folder / "float32.pt2", metadata)
    faces = random_faces().inputs
    if given.store is not None:
        faces = LabelledFaces(given.store, network, origin).calibration(500)
    quantise(folder / "float32.onnx", folder / "int8.onnx", faces)
    found: dict[str, Any] = {"PyTorch, eager": network}
    if given.compile:
        compiled = torch.compile(graph)
        found["PyTorch, compiled"] = lambda x: compiled(torch.from_numpy(x)).numpy()
    found["PyTorch, pt2"] = ExportedClassifier(folder / "float32.pt2")
    for name, path, runtime in (
        ("onnxruntime, float32", "float32.onnx", "onnxruntime"),
        ("onnxruntime, int8", "int8.onnx", "onnxruntime"),
        ("OpenCV, float32", "float32.onnx", "opencv"),
        ("OpenCV, int8", "int8.onnx", "opencv"),
    ):
        try:
            found[name] = OnnxClassifier(folder / path, threads=1, runtime=runtime)
            found[name](random_faces().inputs[:1])
        except FerlitError:
            found[name] = None  # this OpenCV does not run quantised models
    return found


def medians(calls: dict[str, Callable[[], Any]], rounds: int, block: int) -> dict[str, list[float]]:
    """Milliseconds of each call on the clock and of the processor."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # its weights are in the caches again
            for _ in range(block):
                wall, processor_time = time.perf_counter(), time.thread_time()
                call()
                times[name].append(
                    (time.perf_counter() - wall, time.thread_time() - processor_time)
                )
    return {
        name: [1000 * statistics.median(column) for column in zip(*values, strict=True)]
        for name, values in times.items()
    }


def print_speed(found: dict[str, Any], rounds: int) -> None:
    running = {name: classify for name, classify in found.items() if classify is not None}
    inputs = random_faces().inputs
    one = medians({n: lambda c=c: c(inputs[:1]) for n, c in running.items()}, rounds, 20)
    many = medians({n: lambda c=c: c(inputs[:BATCH]) for n, c in running.items()}, rounds, 1)
    print(f"\n{processor()}, one thread; {PAPER}\n")
    print("| runtime | ms a face | of the processor | faces/s at 64 | of the processor |")
    print("|---|---|---|---|---|")
    for name in found:
        if name not in running:
            print(f"| {name} | does not run | | | |")
            continue
        rates = " | ".join(f"{1000 * BATCH / value:.0f}" for value in many[name])
        print(f"| {name} | {one[name][0]:.2f} | {one[name][1]:.2f} | {rates} |")


def print_parity(found: dict[str, Any], network: ModuleClassifier, store: Store) -> None:
    rows = np.unique(np.linspace(0, len(store.records) - 1, 1000).round().astype(np.int64))
    inputs = network.preprocessing.inputs(store.faces[rows])
    expected = predict(network, inputs, "PyTorch, eager")
    print(f"\n| against PyTorch, {len(rows)} faces of {store.description.database} | |\n|---|---|")
    for name, classify in list(found.items())[1:]:
        if classify is not None:
            print(f"| {name} | {compare(expected, predict(classify, inputs, name))} |", flush=True)


def print_frames(found: dict[str, Any], rounds: int) -> None:
    rng = np.random.default_rng(0)
    person = draw_face(Person.random(rng), {}, Pose(), rng)[0][:480, :640]
    noise = rng.integers(0, 256, person.shape).astype(np.uint8)
    for frame in (person, noise):
        calls = dict[str, Callable[[], Any]]()
        try:
            for name in ("PyTorch, eager", "onnxruntime, float32", "onnxruntime, int8"):
                recogniser = Recogniser(found[name], landmarks="mediapipe")
                calls[name] = partial(recogniser.recognise, frame)
        except DataError as error:
            print(f"\nwhole frames: not measured ({error})")
            return
        faces = len(next(iter(calls.values()))())
        ground = "plain" if faces else "noise"
        title = (
            f"a frame of {frame.shape[1]} x {frame.shape[0]}, {ground}, {faces} faces, to labels"
        )
        print(f"\n| {title} | ms | of the processor |\n|---|---|---|")
        for name, (wall, own) in medians(calls, rounds, 5).items():
            print(f"| {name} | {wall:.1f} | {own:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--store", type=Path, help="of its database: also compares on real faces")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    network = untrained()
    if given.checkpoint is not None:
        loaded = load_classifier(given.checkpoint)
        if not isinstance(loaded, ModuleClassifier):
            parser.error("--checkpoint: a checkpoint of a run")
        network = loaded
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        found = systems(network, given, Path(folder))
        print_speed(found, given.rounds)
        if given.store is not None:
            print_parity(found, network, Store.open(given.store))
        print_frames(found, given.rounds)


if __name__ == "__main__":
    main()
