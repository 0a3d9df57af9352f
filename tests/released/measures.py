"""What is kept of a release beside its files: numbers and names, as plain data.

`tests.released.make` writes what the release gives; `tests.released.test_released` compares it with
what the present state gives.
"""

import argparse
import contextlib
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any
from unittest import mock

import numpy as np
import torch
import yaml
from pytorch_metric_learning.distances import CosineSimilarity
from torch import Tensor, nn

import ferlit
import nmloss
from ferlit import Recogniser
from ferlit.cli import COMMANDS, main
from ferlit.data import TupleDataModule
from ferlit.data.databases import DATABASES
from ferlit.data.store import Store

STORES = ("ckplus", "csv", "ferplus")
TWO_BRANCHES, SOFTMAX = "runs/2b_nm/version_0", "runs/softmax/version_0"
EXPORTED = ("exported/model.onnx", "exported/int8.onnx", "exported/model.pt2")
NETWORKS = (*EXPORTED, *(f"{run}/checkpoints/best.ckpt" for run in (TWO_BRANCHES, SOFTMAX)))
FACE = "exported/face.png"
REPORTED = ("cv", "runs/2b_nm")
CONFIGS = Path(__file__).parents[2] / "configs"
_EMBEDDING, _POSITIVES, _NEGATIVES, _TUPLES = 6, 3, 2, 4


def store_table(folder: Path) -> dict[str, Any]:
    """What training and tests take from a store."""
    store = Store.open(folder)
    return {
        "description": {
            name: getattr(store.description, name)
            for name in ("database", "classes", "sequence_rule", "landmarks", "fingerprint")
        },
        "records": json.loads(store.records.to_json(orient="split")),
        "faces": hashlib.sha256(np.ascontiguousarray(store.faces)).hexdigest(),
        "targets": None if store.targets is None else store.targets.tolist(),
        "content": store.content,
        "face_hashes": store.face_hashes.tolist(),
    }


def loading(folder: Path) -> dict[str, Any]:
    """The splits and the first batches that a data module makes of a store."""
    data = TupleDataModule(
        store=folder,
        fold=1,
        folds=3,
        num_workers=0,
        positives=2,
        negatives=2,
        tuples_per_batch=2,
    )
    data.setup("fit")
    return {
        "split": data.split.tolist(),
        "labels": data.labels.tolist(),
        "classes": list(data.classes),
        "summary": data.summary().partition(":")[2],
        "training": [_numbers(batch.image) for batch in data.train_dataloader()],
        "validation": [_numbers(batch.image) for batch in data.val_dataloader()],
    }


def probabilities(model: Path, face: Path) -> dict[str, float]:
    """What a file of a network says of a picture that is a cropped face."""
    (found,) = Recogniser(model, landmarks="none", trust=["tests"]).recognise(face)
    return found.probabilities


def networks() -> dict[str, Any]:
    """The networks that ship: names and shapes of their weights, their start, and an answer."""
    from ferlit.models import InceptionFER, OneBranch, TwoBranch

    torch.manual_seed(0)
    backbone = InceptionFER()
    parts: dict[str, nn.Module] = {
        "InceptionFER": backbone,
        "OneBranch": OneBranch(backbone.out_features, 7),
        "TwoBranch": TwoBranch(backbone.out_features, 7),
    }
    start = {name: _numbers(part.state_dict().values()) for name, part in parts.items()}
    shapes = {
        name: {key: list(value.shape) for key, value in part.state_dict().items()}
        for name, part in parts.items()
    }
    image = _waves(2, 1, 48, 48)
    with torch.no_grad():
        for part in parts.values():
            part.eval()
            for number, weight in enumerate(part.parameters()):
                if weight.ndim > 1:
                    fan = math.sqrt(weight[0].numel())
                    weight.copy_(_waves(*weight.shape, start=number) / fan)
        features = backbone(image)
        answers = {name: parts[name](features) for name in ("OneBranch", "TwoBranch")}
        answers = {
            name: {"logits": found.logits.tolist(), "embedding": _numbers(found.embedding)}
            for name, found in answers.items()
        }
    return {"shapes": shapes, "start": start, "features": _numbers(features), "answers": answers}


def losses() -> dict[str, Callable[[], nn.Module]]:
    """Every loss, with each of its distances, and what keeps a state beside it."""
    adaptive = nmloss.AdaptiveNMTupleClustersLoss
    fixed = nmloss.NMTupleClustersLoss
    mahalanobis = nmloss.MahalanobisDistance

    return {
        "fixed": lambda: fixed(threshold=0.8, margin=0.6),
        "fixed_unmined": lambda: fixed(mine_positives=False),
        "fixed_cosine": lambda: fixed(0.2, 0.5, distance=CosineSimilarity()),
        "fixed_mahalanobis": lambda: fixed(distance=mahalanobis(_EMBEDDING)),
        "fixed_low_rank": lambda: fixed(distance=mahalanobis(_EMBEDDING, rank=3)),
        "fixed_learned": lambda: fixed(threshold=nn.Parameter(torch.tensor(0.9))),
        "adaptive": lambda: adaptive(_EMBEDDING),
        "adaptive_low_rank": lambda: adaptive(_EMBEDDING, rank=3, threshold=1.5),
        "adaptive_paper": lambda: adaptive(_EMBEDDING, convention="paper"),
        "adaptive_plain": lambda: adaptive(
            _EMBEDDING, normalize_embeddings=False, mine_positives=False
        ),
        "tuplet": lambda: nmloss.NPlusOneTupletLoss(margin=0.7),
        "coupled": lambda: nmloss.CoupledClustersLoss(margin=0.7),
        "coupled_mahalanobis": lambda: nmloss.CoupledClustersLoss(distance=mahalanobis(_EMBEDDING)),
        "memory": lambda: nmloss.CrossBatchMemory(adaptive(_EMBEDDING), _EMBEDDING, memory_size=64),
        "views": lambda: nmloss.SelfSupervisedLoss(adaptive(_EMBEDDING)),
        "mined": lambda: nmloss.OnlinePositiveMiner(loss=adaptive(_EMBEDDING)),
    }


def trained(loss: nn.Module) -> nn.Module:
    """A loss whose parameters and memory are no longer those of its start."""
    with torch.no_grad():
        for number, weight in enumerate(loss.parameters()):
            weight += 0.1 * _waves(*weight.shape, start=number)
    if isinstance(loss, nmloss.CrossBatchMemory):
        loss(*_batch(start=9))
    return loss


def answers(loss: nn.Module) -> dict[str, Any]:
    """What a loss or miner gives on fixed embeddings, by the form of the tuples."""
    embeddings, labels = _batch()
    people = (torch.arange(len(labels)) * 7) % 5
    pairs = nmloss.IdentityAwareMiner()(embeddings, labels, identities=people)
    if isinstance(loss, nmloss.OnlinePositiveMiner):
        return {"pairs": [part.tolist() for part in loss(embeddings, labels)]}
    if isinstance(loss, nmloss.SelfSupervisedLoss):
        return {"views": _value(loss, embeddings, _batch(start=5)[0])}
    if isinstance(loss, nmloss.CrossBatchMemory):
        return {f"batch_{k}": _value(loss, *_batch(start=k)) for k in (0, 1)}
    laid_out = nmloss.tuple_indices(_TUPLES, _POSITIVES, _NEGATIVES)
    triplets = tuple(torch.tensor(index) for index in ([0, 0, 5], [1, 2, 6], [3, 4, 9]))
    return {
        "all_pairs": _value(loss, embeddings, labels),
        "mined_pairs": _value(loss, embeddings, labels, pairs),
        "laid_out": _value(loss, embeddings, None, laid_out),
        "triplets": _value(loss, embeddings, labels, triplets),
        "references": _value(loss, embeddings, labels, None, *_batch(start=7)),
    }


def equations() -> dict[str, list[float]]:
    """`nmloss.functional` on fixed members, by function."""
    functional = nmloss.functional
    positives = nn.functional.normalize(_waves(_TUPLES, _POSITIVES, _EMBEDDING), dim=-1)
    negatives = nn.functional.normalize(_waves(_TUPLES, _NEGATIVES, _EMBEDDING, start=3), dim=-1)
    weights = {
        "map_a": _waves(4, _EMBEDDING, start=1),
        "map_b": _waves(4, _EMBEDDING, start=2),
        "linear": _waves(_EMBEDDING, start=4),
        "bias": torch.tensor(1.5),
    }
    centers = positives.mean(dim=1)
    found = {
        "nm": functional.nm_tuple_clusters_loss(positives, negatives, threshold=0.8, margin=0.6),
        "adaptive": functional.adaptive_nm_tuple_clusters_loss(positives, negatives, **weights),
        "n_plus_one": functional.n_plus_one_tuplet_loss(positives, negatives, margin=0.7),
        "coupled": functional.coupled_clusters_loss(positives, negatives, margin=0.7),
        "margin": functional.adaptive_margin(negatives, centers, **weights).flatten(),
        "distances": functional.squared_distances(negatives, centers).flatten(),
    }
    return {name: values.tolist() for name, values in found.items()}


def tuples_drawn() -> list[list[int]]:
    """The batches of a sampler, over two epochs."""
    rng = np.random.default_rng(0)
    sampler = nmloss.IdentityTupleSampler(
        rng.integers(0, 4, 40).tolist(),
        rng.integers(0, 6, 40).tolist(),
        positives=3,
        negatives=3,
        tuples_per_batch=4,
        seed=3,
    )
    batches = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        batches += list(sampler)
    return batches


def names() -> dict[str, list[str]]:
    """What each package exports: its ``__all__``, or the public names that it defines."""
    found = {}
    for package in (nmloss, ferlit):
        inner = walk_packages(package.__path__, f"{package.__name__}.")
        for name in [package.__name__, *(each.name for each in inner if each.ispkg)]:
            module = import_module(name)
            exported = getattr(module, "__all__", None) or [
                key
                for key, value in vars(module).items()
                if not key.startswith("_")
                and (key.isupper() or getattr(value, "__module__", None) == name)
            ]
            if exported:
                found[name] = sorted(exported)
    return found


def class_paths(folder: Path) -> list[str]:
    """The dotted paths that the configurations, and the runs below a folder, name."""
    contents = [yaml.safe_load(path.read_text("utf-8")) for path in CONFIGS.rglob("*.yaml")]
    contents += [yaml.safe_load(path.read_text("utf-8")) for path in folder.rglob("config.yaml")]
    for path in folder.rglob("*.ckpt"):
        checkpoint = torch.load(path, weights_only=True)
        contents += [checkpoint["hyper_parameters"], checkpoint["configuration"]]
    return sorted({path for content in contents for path in _class_paths(content)})


def options() -> dict[str, list[str]]:
    """Every command with its options, and ``prepare`` with those of each database.

    Lightning's own are left out: they are its trainer's and checkpoint's.
    """
    found = {command: _options_of([command, "--help"]) for command in COMMANDS}
    for name in DATABASES:
        missing = ["--root=/missing", "--output=/missing/store"]
        key = f"prepare --database {name}"
        known = _options_of(["prepare", f"--database={name}", *missing])
        found[key] = [option for option in known if option not in found["prepare"]]
    return found


def configurations() -> dict[str, Any]:
    """What ``fit`` makes of every configuration that ships; sweeps as they are."""
    experiments = [path.name for path in CONFIGS.glob("*.yaml") if path.name != "wandb.yaml"]
    overlays = ["wandb.yaml", *(f"systems/{p.name}" for p in (CONFIGS / "systems").glob("*.yaml"))]
    found: dict[str, Any] = {name: printed(f"--config={name}") for name in sorted(experiments)}
    for name in sorted(overlays):
        found[f"ckplus.yaml {name}"] = printed("--config=ckplus.yaml", f"--config={name}")
    for path in sorted((CONFIGS / "stages").glob("*.yaml")):
        found[f"stages/{path.name}"] = {
            stage["name"]: printed(*_stage(stage)) for stage in _read(path)["stages"]
        }
    for path in sorted((CONFIGS / "sweeps").glob("*.yaml")):
        found[f"sweeps/{path.name}"] = _read(path)
    return found


@cache
def printed(*given: str) -> dict[str, Any]:
    """The whole configuration of ``ferlit fit``."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main(["fit", *given, "--print_config"])
    config: dict[str, Any] = yaml.safe_load(text.getvalue())
    return config


def _stage(stage: Mapping[str, Any]) -> list[str]:
    configs = stage["config"] if isinstance(stage["config"], list) else [stage["config"]]
    return [
        *(f"--config={name}" for name in configs),
        *(
            f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in stage.get("options", {}).items()
        ),
    ]


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return content


def _options_of(arguments: list[str]) -> list[str]:
    """The options of all parsers that a command line meets."""
    found: set[str] = set()

    def recorded(then: Callable[..., Any]) -> Callable[..., Any]:
        def method(parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
            for action in parser._actions:
                found.update(action.option_strings or [action.dest])
            return then(parser, *args, **kwargs)

        return method

    parse = argparse.ArgumentParser.parse_known_args

    silent = io.StringIO()
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_known_args", recorded(parse)),
        mock.patch.object(argparse.ArgumentParser, "print_help", recorded(lambda *_, **__: None)),
        contextlib.redirect_stdout(silent),
        contextlib.redirect_stderr(silent),
        contextlib.suppress(SystemExit),
    ):
        main(arguments)
    of_lightning = ("--trainer.", "--checkpoint.")
    return sorted(name for name in found if not name.startswith(of_lightning))


def _class_paths(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            if key in ("class_path", "_class_path", "_instantiator"):
                yield value
            yield from _class_paths(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _class_paths(value)


def _batch(start: int = 0) -> tuple[Tensor, Tensor]:
    """Embeddings and labels, as tuples lie in a batch."""
    count = _TUPLES * (_POSITIVES + _NEGATIVES)
    one = [0] * _POSITIVES + list(range(1, _NEGATIVES + 1))
    return _waves(count, _EMBEDDING, start=start), torch.tensor(one * _TUPLES)


def _value(loss: nn.Module, embeddings: Tensor, *others: Any) -> dict[str, Any]:
    """A loss and its gradients."""
    loss.zero_grad()
    embeddings = embeddings.clone().requires_grad_()
    value = loss(embeddings, *others)
    value.backward()
    gradients = {"embeddings": embeddings.grad} | {
        name: weight.grad for name, weight in loss.named_parameters()
    }
    return {
        "loss": value.item(),
        "gradients": {name: _numbers(found) for name, found in gradients.items()},
    }


def _waves(*shape: int, start: int = 0) -> Tensor:
    """Numbers that no random generator makes."""
    count = math.prod(shape)
    places = torch.arange(count, dtype=torch.float64)
    return torch.sin(1.7 * places + 0.013 * places**1.5 + start).reshape(shape).float()


def _numbers(values: Any) -> list[float]:
    """A sum and a sum of squares of tensors, which tell them from others."""
    tensors = [values] if isinstance(values, Tensor) else [v for v in values if v is not None]
    flat = torch.cat([each.detach().double().flatten() for each in tensors])
    weights = torch.cos(torch.arange(len(flat), dtype=torch.float64))
    return [float(flat.sum()), float((flat * weights).sum()), float(flat.square().sum())]
