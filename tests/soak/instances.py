"""One small instance of every file that a command reads, with what reads it."""

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from PIL import Image

from ferlit.cli import main
from ferlit.configurations import find_config
from ferlit.data.databases import DATABASES
from ferlit.data.faces.landmarks import read_landmarks
from ferlit.data.media.images import read_image
from ferlit.data.store import Store
from ferlit.data.store.manifest import verify
from ferlit.data.synthetic import write_ckplus
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.origin import Origin
from ferlit.inference.videos import read_video
from ferlit.models.weights import read_checkpoint
from ferlit.report.runs import read_history, read_run
from ferlit.runs.folder import RunFolder
from tests.ferlit.inference.small import write_checkpoint, write_exported
from tests.ferlit.training.fits import fit_options

_PICTURES = (".png", ".jpg", ".bmp", ".tiff", ".webp", ".ppm", ".gif")
_VIDEOS = (".avi", ".mp4")
_FACES = np.random.default_rng(0).normal(size=(2, 1, 48, 48)).astype("f")
_LIKE = ("fer2013", "ferplus", "mmi", "csv", "affectnet", "rafdb", "jaffe", "kdef", "sfew", "ck48")


@dataclass(frozen=True)
class Reader:
    """A file and what reads it.

    Args:
        name: Of the pair.
        path: The file.
        read: Reads it; gives an answer that can be compared.
        is_vouched: Whether the file has a checksum, so that another answer is a fault.
    """

    name: str
    path: Path
    read: Callable[[], Any]
    is_vouched: bool = False


def build(folder: Path) -> list[Reader]:
    """All of them, below an empty folder."""
    store = folder / "store"
    _run("prepare", "--database=synthetic", "--landmarks=none", "--like=ferplus",
         "--votes=probability", f"--root={folder / 'ferplus'}", f"--output={store}")  # fmt: skip
    return [
        *_models(folder),
        *_configurations(folder),
        *_run_folder(folder),
        *_store(folder),
        *_pictures(folder),
        *_databases(folder),
    ]


def _run(*options: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = main(list(options))
    if code:
        raise RuntimeError(f"ferlit {' '.join(options)}: exit code {code}")


def _digest(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return digest.hexdigest()


def _models(folder: Path) -> Iterator[Reader]:
    checkpoint = write_checkpoint(folder / "model.ckpt")

    def answer(path: Path) -> str:
        found = load_classifier(path)
        return _digest(found(_FACES), found.classes, found.preprocessing, found.sequence_rule)

    def weights(path: Path) -> str:
        tensors, classes = read_checkpoint(path)
        return _digest(classes, *(value.numpy() for value in tensors.values()))

    yield Reader("checkpoint", checkpoint, lambda: answer(checkpoint), True)
    yield Reader("checkpoint as a start", checkpoint, lambda: weights(checkpoint), True)
    for name in ("model.onnx", "model.pt2"):
        path = write_exported(folder / name)
        yield Reader(name, path, lambda path=path: answer(path), True)


def _configurations(folder: Path) -> Iterator[Reader]:
    for name in ("ckplus.yaml", "stages/demo.yaml"):
        path = folder / Path(name).name
        path.write_bytes(find_config(name).read_bytes())

        def read(path: Path = path) -> Any:
            return yaml.safe_load(find_config(str(path)).read_text(encoding="utf-8"))

        yield Reader(f"configuration {name}", path, read)


def _run_folder(folder: Path) -> Iterator[Reader]:
    store, runs = folder / "run_store", folder / "runs"
    write_ckplus(folder / "ckplus", subjects=8, seed=0, expressions_per_subject=3, frames=4)
    _run("prepare", "--database=ckplus", f"--root={folder / 'ckplus'}", f"--output={store}")
    _run(*fit_options(store, runs, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"))
    run = runs / "ckplus" / "version_0"
    best = run / "checkpoints" / "best.ckpt"

    def of_report() -> str:
        found = read_run(RunFolder(run))
        history = read_history(RunFolder(run))
        parts = (found.tested, found.split.to_csv(), found.config, found.record)
        return _digest(*parts, history.to_csv())

    def of_export() -> str:
        origin = Origin.of(best)
        tables = (origin.split.to_csv(), origin.confusion.to_csv())
        return _digest(origin.config, origin.metrics, origin.databases, *tables)

    for name in ("config.yaml", "run.json", "metrics.csv", "predictions.csv", "split.csv"):
        yield Reader(f"report on {name}", run / name, of_report)
    for name in ("config.yaml", "metrics.json", "split.csv", "confusion.csv"):
        yield Reader(f"card from {name}", run / name, of_export)


def _store(folder: Path) -> Iterator[Reader]:
    store, named = folder / "store", folder / "store_with_persons"
    shutil.copytree(store, named)
    names = Store.open(store).records["image"]
    persons = "".join(f"{name},P{number % 9}\n" for number, name in enumerate(names))
    (named / "identities.csv").write_text(f"image,identity\n{persons}", encoding="utf-8")

    def opened(store: Path = store) -> str:
        found = Store.open(store)
        targets = np.zeros(0) if found.targets is None else np.array(found.targets)
        texts = (found.description, found.records.to_csv())
        return _digest(*texts, np.array(found.faces), targets)

    def verified() -> str:
        different = verify(store)
        if different:
            # As `ferlit prepare --verify` does, whose manifest may be what is damaged.
            raise FerlitError(f"{store / 'manifest.sha256'}: {'; '.join(map(str, different))}")
        return ""

    for name in ("store.json", "records.csv", "faces.npy", "targets.npy"):
        yield Reader(f"store, {name}", store / name, opened, True)
    yield Reader("store, identities.csv", named / "identities.csv", lambda: opened(named))
    for name in ("faces.npy", "records.csv", "manifest.sha256"):
        yield Reader(f"store verified, {name}", store / name, verified, name != "manifest.sha256")


def _pictures(folder: Path) -> Iterator[Reader]:
    face = Image.fromarray(_face())
    for suffix in _PICTURES:
        path = folder / f"picture{suffix}"
        face.save(path)

        def read(path: Path = path) -> str:
            return _digest(read_image(path.parent, path.name))

        yield Reader(f"picture {suffix}", path, read)
    for suffix, code in zip(_VIDEOS, ("MJPG", "mp4v"), strict=True):
        path = folder / f"video{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, (96, 96))
        for shift in range(8):
            writer.write(cv2.cvtColor(np.roll(_face(), shift, 1), cv2.COLOR_GRAY2BGR))
        writer.release()

        def frames(path: Path = path) -> str:
            return _digest(*map(np.array, read_video(path)))

        yield Reader(f"video {suffix}", path, frames)


def _face() -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 255, (96, 96), np.uint8), (9, 9), 0).astype(np.uint8)


def _databases(folder: Path) -> Iterator[Reader]:
    """The lists of each database, and landmarks; of the pictures in them see `_pictures`."""
    points = next((folder / "ckplus").rglob("*_landmarks.txt"))
    yield Reader("landmarks", points, lambda: _digest(read_landmarks(points)))
    for name in _LIKE:
        root = folder / name
        if not root.exists():
            _run("prepare", "--database=synthetic", f"--like={name}", "--landmarks=none",
                 f"--root={root}", f"--output={folder / 'stores' / name}")  # fmt: skip

        def read(root: Path = root, name: str = name) -> str:
            return _digest(DATABASES[name].read(root).to_csv())

        texts = [
            path for path in sorted(root.rglob("*"))
            if path.is_file() and path.suffix in (".csv", ".txt", ".xml", ".mat")
            and "tree" not in path.name
        ]  # fmt: skip
        step = max(1, len(texts) // 3)
        for path in texts[::step][:3]:
            yield Reader(f"{name}, {path.relative_to(root)}", path, read)
