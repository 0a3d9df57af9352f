"""What the runs of a cross-validation have in common: the options as ``fit`` understands them."""

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from ferlit.errors import FerlitError
from ferlit.files import write_json
from ferlit.runs.settings import with_own_cosine
from ferlit.training.cli import main as run_fit
from ferlit.training.processes.parse_only import check_fit

SETTINGS = "crossval.json"
# What may differ between the runs of one cross-validation: what each run is given on its own, where
# the data lie (their content is compared), and what changes no result.
_FREE = (
    "allow_seen_people",
    "ckpt_path",
    "seed_everything",
    "data.init_args.fold",
    "data.init_args.num_workers",
    "data.init_args.root",
    "data.init_args.seed",
    "data.init_args.store",
    "trainer.accelerator",
    "trainer.default_root_dir",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.logger",
)


def resolve(options: list[str], system: str) -> dict[str, Any]:
    """The whole configuration that ``ferlit fit`` makes of options.

    Args:
        options: Of ``ferlit fit``.
        system: Whose they are, for the message.

    Raises:
        UsageError: ``fit`` refuses them.
    """
    check_fit(options, f"the options do not fit the system {system}")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        run_fit("fit", [*options, "--print_config"])
    config: dict[str, Any] = yaml.safe_load(printed.getvalue())
    return config


@dataclass(frozen=True)
class Settings:
    """What ``crossval.json`` says: all that the runs of a folder have in common.

    Args:
        overlays: System -> its configuration file, as it was named.
        settings: System -> its settings, flat; those that may differ are left out.
        seeds: Of all runs.
        content: See `ferlit.training.crossval.rounds.Rounds`.
    """

    overlays: dict[str, str]
    settings: dict[str, dict[str, Any]]
    seeds: list[int]
    content: str

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / SETTINGS, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Settings | None":
        """Those of a folder, or None where it is new.

        Raises:
            FerlitError: the file is damaged, or there are runs without it.
        """
        path = folder / SETTINGS
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            if not (folder / "runs").exists():
                return None
            reason = "there is no such file"
        except (OSError, ValueError, TypeError) as error:
            reason = str(error)
        raise FerlitError(
            f"{folder} holds runs, but {path} does not tell what they were made with ({reason}); "
            "give another --output"
        )

    def differences(self, other: "Settings") -> list[str]:
        """What ``other`` sets otherwise for the systems of this one, a line each."""
        found: dict[str, list[str]] = {}
        for system, there in self.settings.items():
            now = other.settings[system]
            for name in sorted(there.keys() | now.keys()):
                if there.get(name) != now.get(name):
                    line = f"{name}: {there.get(name)} there, {now.get(name)} now"
                    found.setdefault(line, []).append(system)
        lines = [
            line if len(systems) == len(self.settings) else f"{line} ({', '.join(systems)})"
            for line, systems in found.items()
        ]
        if self.content != other.content:
            lines.insert(0, "the data: another store, or other persons in it")
        return lines


def comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration that all its runs share, flat.

    >>> comparable({"trainer": {"max_epochs": 3, "accelerator": "cpu"}, "ckpt_path": None})
    {'trainer.max_epochs': 3}
    >>> comparable({"data": {"init_args": {"fold": None}}})  # each of the folds is no setting
    {'protocol': 'official split'}
    """
    flat: dict[str, Any] = {}

    def add(prefix: str, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            name = f"{prefix}{key}"
            if name in _FREE:
                continue
            if isinstance(value, Mapping):
                add(f"{name}.", value)
            else:
                flat[name] = value

    add("", with_own_cosine(config))
    if "data" in config and config["data"]["init_args"].get("fold", 0) is None:
        flat["protocol"] = "official split"
    return flat
