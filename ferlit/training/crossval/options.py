"""The options of ``ferlit crossval``: its own, and those that it hands on to every fit."""

import argparse
from pathlib import Path, PurePath

from ferlit.configurations import find_config
from ferlit.errors import FerlitError, UsageError
from ferlit.options import add_jobs, check_jobs, option_values
from ferlit.training.subprocesses.grids import check_handed_on

SYSTEMS = "softmax,softmax_tuples,1b_n1,2b_n1,1b_nm,2b_nm"


def parse_options(command: str, options: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of ``ferlit crossval``, and those for ``ferlit fit``.

    Raises:
        UsageError: an option with a value that it cannot have, or one that crossval sets itself.
    """
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        usage=f"ferlit {command} --config FILE --output DIR [options] [any option of ferlit fit]",
        description="Train and test systems on every fold, with several seeds; compare them on "
        "the same people. An interrupted cross-validation goes on with the same command, and a "
        "later one may add systems and seeds to its folder.",
        epilog="Any option of ferlit fit (--data.root DIR, --data.folds 10, --trainer.max_epochs "
        "30, --model.init_from CKPT ...) is handed on to every fold. --data.fold null takes the "
        "database's official split instead of folds: one run a system and seed. The database is "
        "prepared once, before the first fit. DIR gets runs/SYSTEM/seed_S/fold_K, results.json "
        "(written anew after every run) and the pooled confusion matrices.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        "-c",
        action="append",
        required=True,
        metavar="FILE",
        help="the experiment, such as ckplus.yaml; several may follow each other",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="its folder")
    parser.add_argument(
        "--systems",
        default=SYSTEMS,
        help=f"names of configurations in systems/, or YAML files of yours (default: {SYSTEMS})",
    )
    parser.add_argument("--seeds", default="0,1,2", help="default: 0,1,2")
    add_jobs(parser)
    given, rest = parser.parse_known_args(options)
    check_jobs(given.jobs)
    check_handed_on(command, rest, {})
    fold = option_values(rest).get("data.fold", "0")
    if fold not in ("null", "0"):
        raise UsageError(
            f"--data.fold {fold}: {command} runs every fold; give null for the official split"
        )
    return given, rest


def read_systems(text: str) -> dict[str, str]:
    """System -> its configuration file.

    Raises:
        UsageError: there is no such system, or one is named twice.

    >>> read_systems("softmax, 2b_nm")
    {'softmax': 'systems/softmax.yaml', '2b_nm': 'systems/2b_nm.yaml'}
    """
    overlays: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        is_file = part.endswith((".yaml", ".yml"))
        overlay = part if is_file else f"systems/{part}.yaml"
        try:
            find_config(overlay)
        except FerlitError as error:
            raise UsageError(f"--systems {part}: {error}") from None
        name = PurePath(part).stem if is_file else part
        if name in overlays:
            raise UsageError(f"--systems {text}: {name} is there twice")
        overlays[name] = overlay
    if not overlays:
        raise UsageError(f"--systems {text!r}: name at least one, such as {SYSTEMS}")
    return overlays


def read_seeds(text: str) -> list[int]:
    """The seeds.

    Raises:
        UsageError: they are no different whole numbers.

    >>> read_seeds("0, 7")
    [0, 7]
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UsageError(f"--seeds {text!r}: give different whole numbers from 0, such as 0,1,2")
    return [int(part) for part in parts]
