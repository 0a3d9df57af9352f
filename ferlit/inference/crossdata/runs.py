"""The networks of a matrix: each is trained by a process of its own, then tested on every store."""

import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferlit.data.store.manifest import checksum
from ferlit.errors import DataError, FerlitError
from ferlit.inference.crossdata.members import Member
from ferlit.inference.crossdata.settings import Judging
from ferlit.inference.evaluate.evaluating import evaluate_store
from ferlit.inference.evaluate.judging import judge
from ferlit.inference.evaluate.outputs import EVALUATION, STORES, is_written, write_results
from ferlit.inference.evaluate.results import Expected
from ferlit.inference.evaluate.stores import asked_of, load_model, model_says
from ferlit.runs.folder import EVALUATIONS, RunFolder
from ferlit.training.subprocesses.fit import Fit
from ferlit.training.subprocesses.pool import Process

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """What a test of a network on a store gave.

    Args:
        evaluation: What ``evaluation.json`` says of the store.
        folder: Where its predictions are.
    """

    evaluation: Mapping[str, Any]
    folder: RunFolder


@dataclass(frozen=True, eq=False)
class CrossRun:
    """A network.

    Args:
        member: What it is trained on.
        seed: Of the weights and of the order and augmentation of the images.
        fold: Round of the folds; None for the official split.
        fit: The process that trains it.
        judging: How it is tested.
    """

    member: Member
    seed: int
    fold: int | None
    fit: Fit
    judging: Judging

    @property
    def name(self) -> str:
        """For people, such as "jaffe seed 0 fold 3"."""
        return f"{self.member.name} seed {self.seed} {self.fit.run.path.name.replace('_', ' ')}"

    @property
    def is_trained(self) -> bool:
        return self.fit.run.is_finished

    def start(self, environment: Mapping[str, str]) -> Process:
        return self.fit.start(environment)

    def is_tested(self, member: Member) -> bool:
        """Whether its test on a store is there, whole, and of these weights and faces."""
        return self.is_trained and is_written(self._place(member), self._asked(member))

    def said(self, member: Member) -> Said:
        """What its test on a store gave.

        Raises:
            DataError: it cannot be read.
        """
        place = self._place(member)
        try:
            (evaluation,) = json.loads((place / EVALUATION).read_text(encoding="utf-8"))["stores"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{place / EVALUATION}: cannot be read ({error})") from error
        return Said(evaluation, RunFolder(place / STORES / member.name))

    def test(self, members: Iterable[Member], device: str) -> None:
        """Test it on those stores that it is not tested on yet.

        Raises:
            FerlitError: it cannot be tested.
        """
        due = [member for member in members if not self.is_tested(member)]
        best = self.fit.run.best
        if due and not best.is_file():
            raise FerlitError(
                f"{best}: there is no such checkpoint, so the run cannot be tested (checkpoint.* "
                "chose none, or it was removed); remove the run's folder to train it anew"
            )
        model = load_model(best, device, _classes_of(self.member.config["model"])) if due else None
        for member in due:
            assert model is not None
            place = self._place(member)
            if place.exists():
                logger.warning("%s: not whole, or of other weights: tested anew", place)
                shutil.rmtree(place)
            allow = self.judging.allow_seen_people
            judged = judge(
                model,
                member.store,
                member.name,
                member.part(self._fold_of(member)),
                common=self.judging.common,
                allow_seen=allow,
                leave_out_seen=not allow,
            )
            result = evaluate_store(model, judged, self.judging.sampling)
            says = model_says(model, Expected(), allow_seen=allow)
            write_results([result], place, asked=self._asked(member), says=says)

    def _fold_of(self, member: Member) -> int | None:
        """The round whose faces judge it: its own; None where all rounds of another store do."""
        return self.fold if member is self.member else None

    def _place(self, member: Member) -> Path:
        return self.fit.run.path / EVALUATIONS / member.name

    def _asked(self, member: Member) -> dict[str, Any]:
        best = self.fit.run.best
        if best.is_file():
            digest = checksum(best)
        else:  # the most of the disk that a run takes
            try:
                text = (self._place(member) / EVALUATION).read_text(encoding="utf-8")
                digest = json.loads(text)["asked"]["model_sha256"]
            except (OSError, ValueError, KeyError, TypeError):
                digest = ""
        return asked_of(
            digest,
            {member.name: [member.store.content, member.part(self._fold_of(member)).name]},
            self.judging.sampling,
            common=self.judging.common,
            flip=bool(self.member.config["model"]["init_args"].get("flip_average")),
        )


def plan_runs(
    root: Path, members: Sequence[Member], seeds: Iterable[int], judging: Judging
) -> list[CrossRun]:
    """Every network, seed after seed.

    Args:
        root: Folder of the matrix.
        members: The stores.
        seeds: The seeds.
        judging: How they are tested.
    """
    return [
        CrossRun(member, seed, fold, _fit(root, member, seed, fold), judging)
        for seed in seeds
        for member in members
        for fold in member.splits
    ]


def _fit(root: Path, member: Member, seed: int, fold: int | None) -> Fit:
    folder = "official_split" if fold is None else f"fold_{fold}"
    return Fit(
        RunFolder(root / "runs" / member.name / f"seed_{seed}" / folder),
        (
            *member.options,
            f"--seed_everything={seed}",
            f"--data.seed={seed}",
            f"--data.fold={'null' if fold is None else fold}",
        ),
    )


def _classes_of(config: Any) -> list[str]:
    """The class paths in a configuration: whoever trains with it trusts them."""
    if isinstance(config, Mapping):
        return [name for value in config.values() for name in _classes_of(value)]
    if isinstance(config, list | tuple):
        return [name for value in config for name in _classes_of(value)]
    return [config] if isinstance(config, str) and "." in config else []
