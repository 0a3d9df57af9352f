"""What a run's network makes of its test faces: EC and ML features, kept for the next report."""

import hashlib
import logging
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from rich.progress import Progress

from ferlit.archives import check_archive
from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.store.manifest import checksum
from ferlit.errors import DataError
from ferlit.files import whole_file
from ferlit.locks import owned
from ferlit.models.branches import OneBranch
from ferlit.report.runs import Run, find_store
from ferlit.report.study import Study
from ferlit.runs.folder import TESTED

logger = logging.getLogger(__name__)
_BATCH = 256
# Another processor or precision moves a probability by less.
_TOLERANCE = 0.05


class Features(NamedTuple):
    """Features of the n test faces of a run, in the order of its predictions.

    Args:
        hidden: (n, D_input) last hidden layer of the classification branch, EC.
        embedding: (n, D) embedding of the metric branch, ML; None where the network has one branch.
    """

    hidden: NDArray[np.float32]
    embedding: NDArray[np.float32] | None

    def by_name(self) -> dict[str, NDArray[np.float32]]:
        """Those there are, by the name of their branch."""
        return {"EC": self.hidden} | ({} if self.embedding is None else {"ML": self.embedding})


def judged_faces(run: Run) -> NDArray[np.uint8]:
    """(n, 60, 60) the registered faces that judge a run, in the order of its predictions.

    Raises:
        DataError: the store is gone or is another one.
    """
    store = find_store(run.config, run.record)
    rows = pd.Index(store.records["image"]).get_indexer(pd.Index(run.predictions["image"]))
    if (rows < 0).any():
        raise DataError(
            f"{store.place}: {(rows < 0).sum()} of the {len(rows)} faces that the run was tested "
            f"on are not in this store, among them {run.predictions['image'][rows.argmin()]}"
        )
    return np.asarray(store.faces[rows])


def read_features(run: Run, cache: Path) -> Features:
    """Features of the test faces of a run.

    Args:
        run: The run.
        cache: Folder that keeps them; they are computed again when the checkpoint, the data or the
            predictions have changed, or the file is damaged.

    Raises:
        DataError: no checkpoint or store, or the network does not give the run's predictions.
    """
    if not run.checkpoint.is_file():
        raise DataError(f"there is no checkpoint {run.checkpoint}")
    path = cache / f"{run.system}-{_key(run)}.npz"
    kept = _read_cache(path, run)
    if kept is not None:
        return kept
    with owned(path, "computing the features of a run"):
        kept = _read_cache(path, run)  # another process has written it by now
        if kept is not None:
            return kept
        if path.exists():
            logger.warning("%s: damaged, its features are computed again", path)
        features = compute_features(run, judged_faces(run))
        content = {"images": run.predictions["image"].to_numpy(str), **features.by_name()}
        with whole_file(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **content)
    return features


def gather_features(
    study: Study, cache: Path, progress: Progress
) -> tuple[dict[Run, Features], list[str]]:
    """The features of every run that still has its checkpoint and store; and why others lack them.

    Args:
        study: The runs.
        cache: Folder that keeps features.
        progress: Shows how far it is.
    """
    found, problems = {}, []
    for run in progress.track(study.runs, description="features"):
        try:
            found[run] = read_features(run, cache)
        except DataError as error:
            problems.append(f"{run.name}: {error}")
    return found, problems


def _key(run: Run) -> str:
    """Names the features by all that they are made from."""
    probabilities = run.predictions[list(run.tested.classes)].to_numpy(np.float64)
    parts = (
        version("ferlit"),
        checksum(run.checkpoint),
        hashlib.sha256(probabilities.tobytes()).hexdigest(),
        _data(run.record.get("store") or {}),
        str([run.data.get(name) for name in ("equalize", "fit_plane")]),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _data(store: Mapping[str, Any]) -> str:
    if "stores" in store:
        return str(store.get("content"))
    return str(store.get("manifest_sha256"))


def compute_features(run: Run, faces: NDArray[np.uint8]) -> Features:
    """The features, by the network of the run's checkpoint.

    Args:
        run: The run.
        faces: (n, 60, 60), see `judged_faces`.

    Raises:
        DataError: the network cannot be built or does not give the run's predictions.
    """
    module, preprocessing = _load(run), Preprocessing.of(run.data)
    branches = module.branches
    if not isinstance(branches, OneBranch):
        raise DataError(
            f"the branches {type(branches).__name__} have no classification branch to look into"
        )
    hidden, embedding, probabilities = [], [], []
    with torch.inference_mode():
        for start in range(0, len(faces), _BATCH):
            batch = torch.from_numpy(preprocessing.inputs(faces[start : start + _BATCH]))
            outputs = module.backbone(batch)
            hidden.append(branches.classification(outputs)[1])
            embedding.append(branches(outputs).embedding)
            probabilities.append(module.probabilities(batch))
    written = run.predictions[list(run.tested.classes)].to_numpy(np.float64)
    difference = float(np.abs(torch.cat(probabilities).numpy() - written).max())
    if difference > _TOLERANCE:
        raise DataError(
            f"{run.checkpoint} does not give the probabilities in {TESTED} (they differ by "
            f"up to {difference:.2f}): the checkpoint or the store has changed since the test"
        )
    ec, ml = torch.cat(hidden).numpy(), torch.cat(embedding).numpy()
    is_one_branch = ec.shape == ml.shape and bool(np.array_equal(ec, ml))
    return Features(ec, None if is_one_branch else ml)


def _load(run: Run) -> Any:
    check_archive(run.checkpoint)
    module, _, name = str(run.config["model"]["class_path"]).rpartition(".")
    try:
        kind = getattr(import_module(module), name)
        loaded: LightningModule = kind.load_from_checkpoint(
            run.checkpoint, map_location="cpu", weights_only=True
        )
    except Exception as error:  # whatever classes and weights a checkpoint names
        raise DataError(f"{run.checkpoint}: cannot be loaded ({error})") from error
    return loaded.eval()


def _read_cache(path: Path, run: Run) -> Features | None:
    images = run.predictions["image"].tolist()
    try:
        with np.load(path) as content:  # compares its members with their checksums
            found = Features(content["EC"], content.get("ML"))
            is_whole = content["images"].tolist() == images
    except Exception:  # there is none yet, or whatever a damaged file gives
        return None
    is_whole &= all(len(values) == len(images) for values in found.by_name().values())
    return found if is_whole else None
