"""A cell of the matrix: the networks of one store on the faces of another."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ferlit.evaluation.bootstrap import LEVEL, Interval, Units
from ferlit.evaluation.pooling import Spread
from ferlit.evaluation.results import Evaluation, evaluate_images
from ferlit.inference.crossdata.copies import Copies
from ferlit.inference.crossdata.members import Member
from ferlit.inference.crossdata.runs import CrossRun, Said
from ferlit.inference.evaluate.evaluating import draw_intervals, items_of
from ferlit.inference.evaluate.results import Sampling

FIGURES = ("accuracy", "class_mean", "macro_f1")


@dataclass(frozen=True)
class Cell:
    """The tests of some networks, of all seeds and rounds that are done.

    Args:
        trained: What the networks were trained on.
        tested: Whose faces judge them.
        runs: The networks.
        said: What each gave.
        sampling: How intervals are drawn.
    """

    trained: Member
    tested: Member
    runs: tuple[CrossRun, ...]
    said: tuple[Said, ...]
    sampling: Sampling

    @property
    def classes(self) -> list[str]:
        """The possible answers."""
        return list(self.said[0].evaluation["classes"]["answers"])

    @cached_property
    def levels(self) -> dict[str, Evaluation]:
        """Results by "image" and perhaps "sequence", pooled over rounds and seeds."""
        return self._evaluate(range(len(self.runs)))

    @cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Those of `levels`, drawn over persons, each with its answers of all networks."""
        return {
            level: draw_intervals(found, self.classes, self.sampling)
            for level, found in self._pool(range(len(self.runs))).items()
        }

    @cached_property
    def units(self) -> Units:
        """What is drawn for them."""
        items = self._pool(range(len(self.runs)))["image"]
        return Units.of(items["unit"].to_numpy(str))

    @property
    def drawn(self) -> str:
        """The same for people."""
        return self.sampling.drawn(self.units, is_defined=bool(self.intervals["image"]))

    @cached_property
    def seeds(self) -> dict[int, dict[str, Evaluation]]:
        """The same of each seed that has all its rounds."""
        found = {}
        for seed in dict.fromkeys(run.seed for run in self.runs):
            places = [place for place, run in enumerate(self.runs) if run.seed == seed]
            if len(places) == len(self.trained.splits):
                found[seed] = self._evaluate(places)
        return found

    def spread(self, level: str, figure: str) -> Spread:
        """Mean and standard deviation of a figure over seeds."""
        return Spread.of([getattr(found[level], figure) for found in self.seeds.values()])

    @property
    def seen(self) -> int:
        """Faces that were left out as a network had seen them, or that flatter where they stay."""
        said = [each.evaluation for each in self._of_one_seed]
        found = [each["left_out"]["seen"] or each["people"] for each in said]
        return sum(each["images"] for each in found)

    @cached_property
    def copies(self) -> Copies:
        """Faces that both stores have, and those of them that judge the networks of a seed."""
        images = pd.Index(self.tested.store.records["image"])
        found = [
            Copies.of(
                *(self.trained, run.fold, self.tested),
                images.get_indexer(pd.Index(said.folder.predictions()["image"])).astype(np.int64),
            )
            for run, said in self._runs_of_one_seed
        ]
        return Copies(found[0].shared, sum(each.judged for each in found))

    def notes(self) -> list[str]:
        """What was left out, and what else must be known to read the figures."""
        said = [each.evaluation for each in self._of_one_seed]
        left_out: Counter[str] = Counter()
        for each in said:
            left_out["without a label"] += each["left_out"]["unlabelled"]
            for name, count in each["left_out"]["unknown"].items():
                left_out[f"of {name}, which the network does not know"] += count
        lines = [
            f"left out: {count} face{'s' * (count > 1)} {text}"
            for text, count in left_out.items()
            if count
        ]
        for each in said:
            seen = each["left_out"]["seen"]
            if seen and seen["images"]:
                lines.append(f"left out: {_about(seen)}")
            if each["people"]["images"]:
                lines.append(f"flattering: {_about(each['people'])}")
            lines += [
                f"{name}: {values['training']} in training, {values['here']} here"
                for name, values in each["changed"].items()
            ]
        judges = sum(each["image"]["total"] for each in said)
        lines += self.copies.notes(self.trained.name, self.tested.name, judges)
        return [self.drawn, *dict.fromkeys(lines), *self._notes_of_classes()]

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` says of it."""
        return {
            "trained": self.trained.name,
            "tested": self.tested.name,
            "runs": [
                {
                    "seed": run.seed,
                    "fold": run.fold,
                    "checkpoint_run": run.fit.run.path.name,
                    "part": said.evaluation["part"],
                    "image": said.evaluation["image"],
                    "sequence": said.evaluation.get("sequence"),
                    "left_out": said.evaluation["left_out"],
                    "people": said.evaluation["people"],
                }
                for run, said in zip(self.runs, self.said, strict=True)
            ],
            "classes": self.said[0].evaluation["classes"],
            "copies": self.copies._asdict(),
            **{level: self._level(level) for level in self.levels},
            "notes": self.notes(),
        }

    def _notes_of_classes(self) -> list[str]:
        matched, lines = self.said[0].evaluation["classes"], []
        lacking, answers = matched["only_model"], matched["answers"]
        names = ", ".join(lacking)
        if lacking and set(lacking) <= set(answers):
            image = self.levels["image"]
            given = int(image.confusion[:, [answers.index(name) for name in lacking]].sum())
            lines.append(
                f"the store lacks {names}, which stayed possible answers (for {given} of "
                f"{image.total}; --common leaves them out)"
            )
        elif lacking:
            lines.append(f"the store lacks {names}, which were no possible answers (--common)")
        counted = {
            name for each in self._of_one_seed for name in each.evaluation["left_out"]["unknown"]
        }
        others = [name for name in matched["only_store"] if name not in counted]
        if others:
            lines.append(
                f"the network does not know {', '.join(others)}, of which the part has no faces"
            )
        return lines

    @property
    def _of_one_seed(self) -> list[Said]:
        """One seed tells for all what was left out."""
        return [said for _, said in self._runs_of_one_seed]

    @property
    def _runs_of_one_seed(self) -> list[tuple[CrossRun, Said]]:
        pairs = zip(self.runs, self.said, strict=True)
        return [(run, said) for run, said in pairs if run.seed == self.runs[0].seed]

    @cached_property
    def _items(self) -> list[dict[str, pd.DataFrame]]:
        rule = self.tested.store.description.sequence_rule
        return [items_of(each.folder.predictions(), self.classes, rule) for each in self.said]

    def _pool(self, places: Sequence[int]) -> dict[str, pd.DataFrame]:
        levels = dict.fromkeys(level for place in places for level in self._items[place])
        return {
            level: pd.concat(
                [self._items[place][level] for place in places if level in self._items[place]]
            )
            for level in levels
        }

    def _evaluate(self, places: Sequence[int]) -> dict[str, Evaluation]:
        pooled = self._pool(places)
        return {level: evaluate_images(found, self.classes) for level, found in pooled.items()}

    def _level(self, level: str) -> dict[str, Any]:
        result = self.levels[level]
        spreads = {figure: self.spread(level, figure) for figure in FIGURES}
        return {
            **result.to_dict(),
            "over_seeds": {
                figure: {"mean": each.mean, "sd": each.sd, "seeds": each.number}
                for figure, each in spreads.items()
            },
            "intervals": {
                "percent": LEVEL,
                "draws": self.sampling.draws,
                "seed": self.sampling.seed,
                "units": self.units.counts,
                **{figure: list(each) for figure, each in self.intervals[level].items()},
            },
            "confusion": np.asarray(result.confusion).tolist(),
        }


def _about(seen: Mapping[str, Any]) -> str:
    people = f" ({seen['people']} people)" if seen["people"] else ""
    return (
        f"{seen['images']} of {seen['of']} faces{people} that the network, or the weights it began "
        "with, was trained or validated on, or whose persons were"
    )
