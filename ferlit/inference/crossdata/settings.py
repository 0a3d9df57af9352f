"""What the networks and the tests of a matrix have in common: the folder remembers it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ferlit.files import write_json
from ferlit.inference.crossdata.members import Member
from ferlit.inference.evaluate.results import Sampling
from ferlit.runs.settings import changes_beside, short
from ferlit.training.crossval.settings import comparable
from ferlit.training.free_settings import FREE_IN_CROSSVAL
from ferlit.training.subprocesses.grids import read_settings

SETTINGS = "crossdata.json"
_FREE = (*FREE_IN_CROSSVAL, "protocol")  # the store's own protocol tells more


@dataclass(frozen=True)
class Judging:
    """How the networks are tested.

    Args:
        common: Let a network answer only what a store has.
        bootstrap: Draws of the intervals; 0 for none.
        allow_seen_people: Keep faces that a network has seen, and say so.
    """

    common: bool = False
    bootstrap: int = 1000
    allow_seen_people: bool = False

    @property
    def sampling(self) -> Sampling:
        """How intervals are drawn."""
        return Sampling(self.bootstrap)


@dataclass(frozen=True)
class Settings:
    """What ``crossdata.json`` says.

    Args:
        stores: By name: its ``folder``, ``content``, ``protocol`` and the ``settings`` of its fits.
        judging: See `Judging`.
        seeds: Of all runs.
    """

    stores: dict[str, dict[str, Any]]
    judging: dict[str, Any]
    seeds: list[int]

    @classmethod
    def of(cls, members: Sequence[Member], judging: Judging, seeds: Sequence[int]) -> "Settings":
        stores = {
            member.name: {
                "folder": str(member.store.folder.resolve()),
                "content": member.store.content,
                "protocol": member.protocol,
                "settings": comparable(member.config),
            }
            for member in members
        }
        return cls(stores, asdict(judging), list(seeds))

    @classmethod
    def read(cls, folder: Path) -> "Settings | None":
        """Those of a folder, or None where it is new.

        Raises:
            FerlitError: the file is damaged, or there are runs without it.
        """
        return read_settings(folder / SETTINGS, cls._understand)

    @classmethod
    def _understand(cls, content: Any) -> "Settings":
        found = cls(**content)
        for store in found.stores.values():
            _ = store["content"], store["protocol"], store["settings"]
        _ = [*map(int, found.seeds)], found.judging.keys()
        return found

    def write(self, folder: Path) -> None:
        write_json(folder / SETTINGS, asdict(self))

    def differences(self, other: "Settings") -> list[str]:
        """What ``other`` sets otherwise, a line each; it may have more stores, and other seeds."""
        lines = [
            f"--stores: {name} there, not now" for name in self.stores if name not in other.stores
        ]
        common = [name for name in self.stores if name in other.stores]
        found: dict[str, list[str]] = {}
        for name in common:
            there, now = self.stores[name], other.stores[name]
            if there["content"] != now["content"]:
                lines.append(f"{name}: another store, or other persons in it")
            if there["protocol"] != now["protocol"]:
                lines.append(f"{name}: {there['protocol']} there, {now['protocol']} now")
            for change in changes_beside(there["settings"], now["settings"], _FREE):
                line = f"{change.path}: {short(change.old)} there, {short(change.new)} now"
                found.setdefault(line, []).append(name)
        for name, old in self.judging.items():
            if old != other.judging.get(name):
                lines.append(f"--{name}: {old} there, {other.judging.get(name)} now")
        return lines + [
            line if len(names) == len(common) else f"{line} ({', '.join(names)})"
            for line, names in found.items()
        ]
