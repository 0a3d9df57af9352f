"""A model on several stores: all is checked first, then computed, then written."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ferlit.data.store import Store
from ferlit.errors import UsageError
from ferlit.inference.evaluate.evaluating import evaluate_store
from ferlit.inference.evaluate.judging import judge
from ferlit.inference.evaluate.models import Model
from ferlit.inference.evaluate.outputs import (
    check_output,
    print_results,
    short_names,
    write_results,
)
from ferlit.inference.evaluate.parts import choose_part
from ferlit.inference.evaluate.results import Expected, Judged, Sampling, StoreResult
from ferlit.inference.prior import Prior, chosen_prior

logger = logging.getLogger(__name__)


def evaluate_stores(
    place: Path,
    folders: Sequence[Path],
    *,
    output: Path | None = None,
    part: str | None = None,
    flip: bool = False,
    common: bool = False,
    prior: Prior | None = None,
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
        prior: How often the expressions are to be expected, see `ferlit.inference.prior`; None
            takes what the model says.
        draws: Of the bootstrap; 0 for no intervals.
        seed: Fixes them.
        allow_seen: Only warn where the model has seen whom it is judged by.
        device: Where the network runs.
        trust: Modules whose classes a checkpoint may name.

    Raises:
        FerlitError: the model or a store cannot be used, or does not fit the other; nothing is
            computed or written then.
    """
    stores = open_stores(folders, "--store")
    model = load_model(place, device, trust)
    judged = [
        judge(model, store, name, choose_part(store, part), common=common, allow_seen=allow_seen)
        for store, name in zip(stores, short_names(folders), strict=True)
    ]
    for each in judged:
        for change in each.changed:
            logger.warning("%s: other settings than in training:\n  %s", each.store.folder, change)
    held = getattr(model.classifier, "prior", ())  # a classifier of the user's own need not say
    chosen = chosen_prior(prior, model.classifier)
    expected = Expected.of(chosen, model.classifier.classes, held)
    sampling = Sampling(draws, seed)
    says = model_says(model, expected, allow_seen=allow_seen)
    asked = asked_of(
        says["model"]["sha256"],
        {each.name: [each.store.content, each.part.name] for each in judged},
        sampling,
        common=common,
        flip=flip or model.flips,
        prior=expected.prior,
    )
    if output is not None:
        check_output(output, asked)
    results = _evaluate(model, judged, sampling, flip=flip, expected=expected)
    print_results(results)
    if output is not None:
        write_results(results, output, asked=asked, says=says)
        Console().print(f"results: {output}", highlight=False, markup=False, soft_wrap=True)
    return results


def open_stores(folders: Sequence[Path], option: str) -> list[Store]:
    """Open stores, none of which is there twice.

    Args:
        folders: Where they lie.
        option: What names them, for the message.

    Raises:
        UsageError: one is a copy of another.
        DataError: one cannot be opened.
    """
    stores = [Store.open(folder) for folder in folders]
    contents = [store.content for store in stores]
    for number, content in enumerate(contents):
        if content in contents[:number]:
            first = stores[contents.index(content)].folder
            raise UsageError(f"{option} {stores[number].folder}: a copy of {first}, the same store")
    return stores


def load_model(place: Path, device: str = "cpu", trust: Sequence[str] = ()) -> Model:
    """See `Model.load`; how its run's own test differs from an evaluation is told."""
    model = Model.load(place, device, trust)
    if model.crops != 1:
        logger.warning(
            "%s: its run was tested on the mean over several crops of a face (data.eval_crops %s); "
            "here the crop in the centre is taken alone",
            *(model.path, model.crops),
        )
    return model


def model_says(
    model: Model,
    expected: Expected,
    *,
    allow_seen: bool,
) -> dict[str, Any]:
    """What ``evaluation.json`` says beside the results."""
    return {
        "ferlit_version": version("ferlit"),
        "model": model.to_dict(),
        "allow_seen_people": allow_seen,
        "prior": expected.to_dict(model.classifier.classes),
    }


def asked_of(
    checkpoint: str,
    stores: Mapping[str, Sequence[str]],
    sampling: Sampling,
    *,
    common: bool,
    flip: bool,
    prior: str = "training",
) -> dict[str, Any]:
    """What tells an evaluation from others.

    Args:
        checkpoint: The SHA-256 of the model's file.
        stores: The content and the part of each, by its name.
        sampling: How intervals are drawn.
        common: Whether the model may answer only what a store has.
        flip: Whether a face and its mirror image are averaged.
        prior: How often the expressions are to be expected, as text.
    """
    return {
        "model_sha256": checkpoint,
        "stores": dict(stores),
        "settings": {
            "common": common,
            "flip": flip,
            "bootstrap": sampling.draws,
            "seed": sampling.seed,
            "prior": prior,
        },
    }


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
