"""Faces that two stores of a matrix have in common, and those that judge a network by copies.

A face that one part of a store trains a network on, and that this store has in no other part, is
left out where it would judge the network (`ferlit.runs.seen`). Copies that a store has in several
of its own parts stay, as in every test of its official split: they are counted here.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.inference.crossdata.members import Member
from ferlit.runs.seen import Seen, seen_among


class Copies(NamedTuple):
    """What two stores have in common, pixel by pixel.

    Args:
        shared: Faces of the store that tests which the one that trains has too; 0 where they are
            the same.
        judged: Faces that judge the network and are copies of some that it was trained or validated
            on, which that store has in several parts.
    """

    shared: int
    judged: int

    @classmethod
    def of(
        cls, trained: Member, fold: int | None, tested: Member, rows: NDArray[np.int64]
    ) -> "Copies":
        """Those of a network.

        Args:
            trained: What it is trained on.
            fold: Round that trains it; None for the official split.
            tested: Whose faces judge it.
            rows: Which.
        """
        seen = seen_among(trained.trainings[fold], tested.store, rows, "test")
        return cls.beside(seen, trained, tested)

    @classmethod
    def beside(cls, seen: Seen, trained: Member, tested: Member) -> "Copies":
        """Those of a network of which it is known which tested faces it has seen.

        Args:
            seen: Of the faces that judge.
            trained: What it is trained on.
            tested: Whose faces judge it.
        """
        own, others = trained.store.face_hashes, tested.store.face_hashes
        return cls(0 if tested is trained else int(np.isin(others, own).sum()), seen.copies)

    def notes(self, trained: str, tested: str, judges: int) -> list[str]:
        """For people.

        Args:
            trained: Name of the store that trains.
            tested: Name of the store that tests.
            judges: Faces that judge.
        """
        lines = []
        if self.shared:
            lines.append(f"{self.shared} faces of {tested} are in {trained} too, pixel by pixel")
        if self.judged:
            lines.append(
                f"flattering: {self.judged} of the {judges} faces that judge are, pixel by pixel, "
                f"among those that train or validate, as {trained} has them in several parts; they "
                "stay, as in its own test"
            )
        return lines
