"""What the runs of a cross-validation have in common: the settings, as ``fit`` resolves them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ferlit.files import write_json
from ferlit.runs.settings import changes_beside, nested, short, with_own_cosine
from ferlit.training.free_settings import FREE_IN_CROSSVAL
from ferlit.training.subprocesses.grids import read_settings

SETTINGS = "crossval.json"


@dataclass(frozen=True)
class Settings:
    """What ``crossval.json`` says: all that the runs of a folder have in common.

    Args:
        overlays: System -> its configuration file, as it was named.
        settings: System -> its settings; see `comparable`.
        seeds: Of all runs.
        content: See `ferlit.training.crossval.rounds.Rounds`.
    """

    overlays: dict[str, str]
    settings: dict[str, dict[str, Any]]
    seeds: list[int]
    content: str

    def write(self, folder: Path) -> None:
        write_json(folder / SETTINGS, asdict(self))

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
        # Earlier versions wrote paths, and the protocol only where it was the official split.
        settings = {
            system: {"protocol": "folds", **nested(values)}
            for system, values in found.settings.items()
        }
        return replace(found, settings=settings)

    def differences(self, other: "Settings") -> list[str]:
        """What ``other`` sets otherwise for the systems of this one, a line each."""
        found: dict[str, list[str]] = {}
        for system, there in self.settings.items():
            for change in changes_beside(there, other.settings[system], FREE_IN_CROSSVAL):
                line = f"{change.path}: {short(change.old)} there, {short(change.new)} now"
                found.setdefault(line, []).append(system)
        lines = [
            line if len(systems) == len(self.settings) else f"{line} ({', '.join(systems)})"
            for line, systems in found.items()
        ]
        if self.content != other.content:
            lines.insert(0, "the data: another store, or other persons in it")
        return lines


def comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a system, and whether they take folds or the official split.

    >>> comparable({"data": {"init_args": {"fold": None}}})["protocol"]
    'official split'
    """
    arguments = (config.get("data") or {}).get("init_args") or {}
    protocol = "official split" if arguments.get("fold", 0) is None else "folds"
    return {"protocol": protocol, **with_own_cosine(config)}
