"""A model on several stores: all is checked first, then computed, then written."""

import logging
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ferlit.data.store import Store
from ferlit.errors import DataError, UsageError
from ferlit.inference.evaluate.evaluating import evaluate_store
from ferlit.inference.evaluate.matching import match_classes
from ferlit.inference.evaluate.models import Model
from ferlit.inference.evaluate.outputs import (
    check_output,
    print_results,
    short_names,
    write_results,
)
from ferlit.inference.evaluate.parts import choose_part
from ferlit.inference.evaluate.results import Expected, Judged, Sampling, StoreResult
from ferlit.inference.prior import Prior
from ferlit.training.fit.evaluating import changed_landmarks

logger = logging.getLogger(__name__)


def evaluate_stores(
    place: Path,
    folders: Sequence[Path],
    *,
    output: Path | None = None,
    part: str | None = None,
    flip: bool = False,
    common: bool = False,
    prior: Prior = "training",
    draws: int = 1000,
    seed: int = 0,
    allow_seen: bool = False,
    device: str = "cpu",
    trust: Sequence[str] = (),
) -> list[StoreResult]:
    """Evaluate a model on stores, print the results and write them.

    Args:
        place: A model's file, or the folder of a run.
        folders: The stores.
        output: Folder of the results; None only prints them.
        part: See `ferlit.inference.evaluate.parts.choose_part`.
        flip: Average a face and its mirror image.
        common: Let the model answer only what a store has.
        prior: How often the expressions are to be expected, see `ferlit.inference.prior`.
        draws: Of the bootstrap; 0 for no intervals.
        seed: Fixes them.
        allow_seen: Only warn where the model has seen whom it is judged by.
        device: Where the network runs.
        trust: Modules whose classes a checkpoint may name.

    Raises:
        FerlitError: the model or a store cannot be used, or does not fit the other; nothing is
            computed or written then.
    """
    stores = [Store.open(folder) for folder in folders]
    contents = [store.content for store in stores]
    for number, content in enumerate(contents):
        if content in contents[:number]:
            first = stores[contents.index(content)].folder
            raise UsageError(f"--store {stores[number].folder}: a copy of {first}, the same store")
    model = Model.load(place, device, trust)
    if model.crops != 1:
        logger.warning(
            "%s: its run was tested on the mean over several crops of a face (data.eval_crops %s); "
            "here the crop in the centre is taken alone",
            *(model.path, model.crops),
        )
    judged = [
        _judge(model, store, name, part, common=common, allow_seen=allow_seen)
        for store, name in zip(stores, short_names(folders), strict=True)
    ]
    classes = model.classifier.classes
    expected = Expected.of(prior, classes, getattr(model.classifier, "prior", ()))
    says: dict[str, Any] = {
        "ferlit_version": version("ferlit"),
        "model": model.to_dict(),
        "allow_seen_people": allow_seen,
        "prior": expected.to_dict(classes),
    }
    asked: dict[str, Any] = {
        "model_sha256": says["model"]["sha256"],
        "stores": {each.name: [each.store.content, each.part.name] for each in judged},
        "settings": {
            "common": common,
            "flip": flip or model.flips,
            "bootstrap": draws,
            "seed": seed,
            "prior": expected.prior,
        },
    }
    if output is not None:
        check_output(output, asked)
    results = _evaluate(model, judged, Sampling(draws, seed), flip=flip, expected=expected)
    print_results(results)
    if output is not None:
        write_results(results, output, asked=asked, says=says)
        Console().print(f"results: {output}", highlight=False, markup=False, soft_wrap=True)
    return results


def _judge(
    model: Model, store: Store, name: str, asked: str | None, *, common: bool, allow_seen: bool
) -> Judged:
    """A store with all that can be told before the model sees it."""
    classes = store.description.classes
    matching = match_classes(
        model.classifier.classes, classes, name=str(store.folder), common=common
    )
    part = choose_part(store, asked)
    shown = store.records["expression"].to_numpy(str)[part.rows]
    left_out = {
        each: int((shown == each).sum()) for each in matching.only_store if (shown == each).any()
    }
    part = part.keep(np.isin(shown, list(matching.shown)))
    if len(part.rows) == 0:
        raise DataError(
            f"{store.folder}: none of the faces in the part {part.name} shows an expression that "
            f"the model knows, which are {', '.join(model.classifier.classes)}"
        )
    seen = model.check_people(store, part, allow=allow_seen)
    changed = changed_landmarks(
        model.classifier.preprocessing.landmarks, store.description.landmarks
    )
    for change in changed:
        logger.warning("%s: other settings than in training:\n  %s", store.folder, change)
    return Judged(name, store, part, left_out, matching, seen, tuple(changed))


def _evaluate(
    model: Model,
    judged: Sequence[Judged],
    sampling: Sampling,
    *,
    flip: bool,
    expected: Expected,
) -> list[StoreResult]:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    results = []
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
    ) as progress:
        for each in judged:
            task = progress.add_task(each.name, total=len(each.part.rows))
            advance = partial(progress.advance, task)
            found = evaluate_store(
                model, each, sampling, flip=flip, expected=expected, progress=advance
            )
            results.append(found)
    return results
