"""What several stores have in common: persons who are the same, faces that are in two of them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.store.people import is_anybodys, people_of, picture_of
from ferlit.data.store.store import Store

_JUDGED = (("train", "val"), ("train", "test"), ("val", "test"))  # by which part, what one shaped


class SharedFaces:
    """The faces of several stores, and which of them show the same.

    Two faces are the same where all their pixels are, or where their files are: the same name in
    the same database (FER+ has the pictures of FER2013). Two persons are the same who have the
    same name in databases that show the same people, or who show the same face. Folders and tables
    of one's own say nothing by their name: there a name tells only where the two stores were
    registered by other landmarks, so that their pixels do not, and of the same file.

    Args:
        stores: Several.
        names: What each is called.
    """

    def __init__(self, stores: Sequence[Store], names: Sequence[str]) -> None:
        self.names = tuple(names)
        prepared: dict[str, set[str]] = {}
        for store in stores:
            named = store.description
            prepared.setdefault(named.database, set()).add(named.landmarks)
        tables = []
        for number, store in enumerate(stores):
            database = store.description.database
            own = store.records
            table = own[["image", "identity", "split"]].assign(store=number)
            table["face"] = store.face_hashes
            table["picture"], table["person"] = "", ""
            if not is_anybodys(database):
                table["picture"] = [picture_of(database, image) for image in own["image"]]
                person = f"{people_of(database)}\n" + own["identity"]
                table["person"] = person.where(own["identity"] != "", "")
            elif len(prepared[database]) > 1:
                table["picture"] = f"{database}\n" + own["image"] + "\n" + own["identity"]
            tables.append(table)
        self.table = pd.concat(tables, ignore_index=True)
        self.is_again = self._in_several("face") | self._in_several("picture")
        self.table["one"] = self._persons()

    @property
    def identities(self) -> NDArray[np.object_]:
        """(n,) a name for each person, which no other has; "" where it is not known."""
        names: NDArray[np.object_] = self.table["one"].to_numpy(object)
        return names

    def leaks(self) -> NDArray[np.bool_]:
        """(n,) faces that the official split of one store trains on and that of another judges by.

        They are those of the lower part: a face, or another of its person, that is in the training
        part is in the validation or the test part of another store, or in the validation part and
        another's test part. A person whom the store itself has in both parts does not count.
        """
        table = self.table
        found = np.zeros(len(table), dtype=bool)
        for part, above in _JUDGED:
            judges = table["split"] == above
            for number in range(len(self.names)):
                is_own = table["store"] == number
                others, own = table[judges & ~is_own], table[judges & is_own]
                leaks = table["face"].isin(others["face"])
                leaks |= _is_among(table["picture"], others["picture"])
                is_mixed = _is_among(table["one"], own["one"])
                leaks |= _is_among(table["one"], others["one"]) & ~is_mixed
                found |= (leaks & is_own & (table["split"] == part)).to_numpy(bool)
        return found

    def _in_several(self, column: str) -> NDArray[np.bool_]:
        """(n,) whether more than one store has it."""
        stores = self.table.groupby(column)["store"].transform("nunique")
        return ((stores > 1) & (self.table[column] != "")).to_numpy(bool)

    def _persons(self) -> list[str]:
        """(n,) one name for all that are the same person: that in the first store."""
        table = self.table
        nodes = list(zip(table["store"].tolist(), table["identity"].tolist(), strict=True))
        first: dict[tuple[int, str], tuple[int, str]] = {node: node for node in nodes}

        def root(node: tuple[int, str]) -> tuple[int, str]:
            while first[node] != node:
                first[node] = first[first[node]]
                node = first[node]
            return node

        is_named = (table["identity"] != "").to_numpy(bool)
        for column in ("face", "picture", "person"):
            rows = np.flatnonzero(self._in_several(column) & is_named)
            seen: dict[str | int, tuple[int, str]] = {}
            for row, key in zip(rows.tolist(), table[column].iloc[rows].tolist(), strict=True):
                one, other = root(seen.setdefault(key, nodes[row])), root(nodes[row])
                first[max(one, other)] = min(one, other)
        ones = [root(node) if node[1] else node for node in nodes]
        return [f"{self.names[store]}/{name}" if name else "" for store, name in ones]


def _is_among(values: "pd.Series[str]", others: "pd.Series[str]") -> "pd.Series[bool]":
    return values.isin(set(others) - {""})
