"""``ferlit stages``: fits one after the other, each starting from the weights of the one before.

The paper's network is trained on FER2013, then Multi-PIE, then the database that it is tested on
(Liu et al. 2017, Sec. 5.2).
"""

import argparse
import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ferlit.configurations import find_config
from ferlit.errors import FerlitError, UsageError
from ferlit.files import write_json
from ferlit.options import without_option
from ferlit.runs.folder import RunFolder
from ferlit.runs.seen import ALLOW
from ferlit.runs.settings import changes_beside, nested, short
from ferlit.training.fit.options import resolve
from ferlit.training.free_settings import FREE_IN_STAGE
from ferlit.training.stages.plan import (
    Stage,
    apply_options,
    as_text,
    check_names,
    read_plan,
)
from ferlit.training.stages.progress import print_results, run_fit
from ferlit.training.subprocesses.fit import Fit

logger = logging.getLogger(__name__)
SETTINGS = "stages.json"
_HELP = """\
options of the fits:
  --roots.NAME DIR               the folder of the database of stage NAME
  --stage.NAME.OPTION VALUE      an option of ferlit fit for stage NAME, such as
                                 --stage.fer2013.trainer.max_epochs 30
                                 or --stage.sfew.data.store STORE
  --OPTION VALUE                 the same for every stage, such as --trainer.accelerator cpu

The file, a shipped one (stages/ckplus.yaml, mmi.yaml, sfew.yaml, demo.yaml) or yours:
  stages:
    - name: fer2013
      config: fer2013.yaml                  # or a list, later ones over earlier ones
      options: {trainer.max_epochs: 300}    # of ferlit fit; {output} stands for the folder DIR

Each stage writes into DIR/NUMBER_NAME what every fit writes, and into fit.log there what it prints.
It starts from the best checkpoint of the stage before (--model.init_from). The same command again
leaves finished stages alone and goes on with an unfinished one from its last epoch. The settings of
each are kept in DIR/stages.json: a stage that was begun with other settings is refused, and
--restart NAME runs it and all after it anew. Only data.num_workers, trainer.accelerator and
trainer.devices may change.
"""


@dataclass(frozen=True)
class Link:
    """A stage with its place in the chain."""

    stage: Stage
    fit: Fit

    @property
    def is_begun(self) -> bool:
        return self.fit.run.is_finished or self.fit.run.last.is_file()


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit stages``."""
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Train in stages, each from the weights of the one before.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="the file of the stages")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="their folder")
    parser.add_argument(
        "--skip", action="append", default=[], metavar="NAME", help="leave a stage out; repeatable"
    )
    parser.add_argument(
        "--restart", metavar="NAME", help="run a stage and all after it anew; old folders are kept"
    )
    given, rest = parser.parse_known_args(options)
    output = given.output.absolute()
    stages = read_plan(find_config(given.config))
    check_names(stages, given.skip, "--skip")
    stages = [
        stage
        for stage in apply_options(stages, pairs(rest), output)
        if stage.name not in given.skip
    ]
    if given.restart is not None:
        check_names(stages, [given.restart], "--restart")
    if not stages:
        raise UsageError("--skip leaves no stage")
    chain = link(stages, output)
    check_data([place.stage for place in chain])
    if given.restart is not None:
        put_aside(chain, given.restart)
    remember(chain, output / SETTINGS)
    console = Console()
    try:
        for number, place in enumerate(chain, 1):
            title = f"stage {number} of {len(chain)}, {place.stage.name}"
            if place.fit.run.is_finished:
                console.print(f"{title}: finished already", highlight=False)
            else:
                run_fit(place.fit, title, console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            shlex.join(["ferlit", command, *without_option(options, "--restart")])
        ) from None
    print_results([(place.stage.title, place.fit) for place in chain], console)


def pairs(options: Sequence[str]) -> dict[str, str]:
    """Options by name, of ``--name value`` and ``--name=value``.

    Raises:
        UsageError: something is no option, or has no value.

    >>> pairs(["--data.fold", "3", "--roots.ckplus=ck"])
    {'data.fold': '3', 'roots.ckplus': 'ck'}
    """
    found: dict[str, str] = {}
    rest = list(options)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if not option.startswith("--") or ("." not in option and option != f"--{ALLOW}"):
            raise UsageError(f"unknown option {option}; ferlit stages --help lists them")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise UsageError(f"{option} needs a value")
            value = rest.pop(0)
        found[option.removeprefix("--")] = value
    return found


def check_data(stages: Sequence[Stage]) -> None:
    """See that each stage has data.

    Raises:
        UsageError: some have not; it names all of them.
    """
    lacking = [stage.name for stage in stages if not stage.has_data]
    if lacking:
        lines = [
            f"  {name}: --roots.{name} DIR (or leave it out: --skip {name})" for name in lacking
        ]
        raise UsageError("no data for these stages; give\n" + "\n".join(lines))


def link(stages: Sequence[Stage], output: Path) -> list[Link]:
    """The fit of each stage, from the best checkpoint of the one before."""
    chain: list[Link] = []
    for stage in stages:
        if chain:
            start = {"model.init_from": str(chain[-1].fit.run.best)}
            stage = replace(stage, options={**start, **stage.options})
        chain.append(Link(stage, Fit(RunFolder(output / stage.title), stage.arguments())))
    return chain


def put_aside(chain: Sequence[Link], name: str) -> None:
    """Rename the folders of a stage and of all after it: what took days is not deleted."""
    names = [place.stage.name for place in chain]
    for place in chain[names.index(name) :]:
        folder = place.fit.run.path
        if folder.exists():
            number = 1
            while (old := folder.with_name(f"{folder.name}.old{number}")).exists():
                number += 1
            folder.rename(old)


def remember(chain: Sequence[Link], path: Path) -> None:
    """Write the settings of each stage, unless one was begun with other settings.

    Raises:
        FerlitError: one was, or the file is damaged.
    """
    known: dict[str, dict[str, Any]] = {}
    if path.is_file():
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise FerlitError(f"{path}: damaged ({error}); give another --output") from error
    for place in chain:
        title, settings = place.stage.title, place.stage.settings
        if place.is_begun and title in known:
            changed = changed_settings(known[title], settings, f"{path}, {title}")
            if changed:
                raise FerlitError(
                    f"{place.fit.run.path} was begun with other settings:\n  "
                    + "\n  ".join(changed)
                    + f"\ngive --restart {place.stage.name} to run it and all after it anew (the "
                    "old folders are kept), the former options to go on, or another --output"
                )
        known[title] = settings
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, known)


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any], whose: str) -> list[str]:
    """What a stage would do otherwise than when it was begun, a line each.

    Args:
        old: Its settings then, as ``stages.json`` has them.
        new: Its settings now.
        whose: What a message calls the former.
    """
    if not isinstance(old.get("trainer"), Mapping):
        # Earlier versions kept the options of all configurations, by their names.
        options = [f"--{name}={as_text(value)}" for name, value in old.items()]
        try:
            old = resolve(options, whose)
        except UsageError:
            # A later configuration names another class; arguments of the former are among them.
            logger.warning(
                "%s: written by an earlier version of ferlit, with a class that another one "
                "replaces: settings that only the new command names are not compared",
                whose,
            )
            old = nested(old)
    return [
        f"{change.name}: {short(change.old)} -> {short(change.new)}"
        for change in changes_beside(old, new, FREE_IN_STAGE)
    ]
