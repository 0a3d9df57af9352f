"""``ferlit crossdata``: train on each store, test on each."""

import argparse
from pathlib import Path
from typing import Literal

from ferlit.errors import UsageError
from ferlit.options import add_bootstrap, add_jobs, check_bootstrap, check_jobs

_EPILOG = """\
Any option of ferlit fit (--data.folds 10, --trainer.max_epochs 30, --model.init_from CKPT ...) is
handed on to every fit. The data of the configuration (database, root, store, reader, fold) give way
to the stores and to --fold.

A store whose official split has labelled faces in all three parts is split by it; others by folds
over their persons (data.folds of them, as in ferlit crossval), of which --fold names the rounds. So
no person trains and tests, but where --data.folds_by image splits by pictures. All networks are
tested on the same faces of a store: its test part, or those of the rounds; in its own row each
round by the network that has not seen it. Faces that a network was trained or validated on, or
whose persons were, are left out and counted: two stores may show the same people or pictures.
Faces that two stores have in common are counted; copies that the store that trains has in several
of its own parts stay, as in its own test, and are counted too. Classes are matched by name, as in
ferlit evaluate.

DIR gets runs/STORE/seed_S/official_split or fold_K with the evaluations of each network on every
store below evaluations/, and results.json, matrix.csv and matrix.png. The same command goes on with
what was interrupted, and may add stores and seeds. Intervals are drawn over persons, as in ferlit
evaluate, with the networks as they are; ± is the standard deviation over seeds.

examples:
  ferlit crossdata -c ckplus.yaml -c systems/softmax.yaml --stores ckplus,jaffe --output cd
  ferlit crossdata --config fer2013.yaml --stores A,B,C --seeds 0,1,2 --jobs 2 --output cd
"""


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit crossdata``."""
    given, rest = _parser(command).parse_known_args(options)
    check_jobs(given.jobs)
    check_bootstrap(given.bootstrap)
    folders = read_stores(given.stores)
    rounds = None if given.fold is None else read_rounds(given.fold)
    if given.output.exists() and not given.output.is_dir():
        raise UsageError(f"--output {given.output}: a file of that name is in the way")
    # Heavy imports only now, so that --help and a mistyped option answer at once.
    from ferlit.inference.crossdata.matrices import train_and_test
    from ferlit.inference.crossdata.settings import Judging
    from ferlit.training.crossval.options import read_seeds
    from ferlit.training.subprocesses.grids import check_handed_on

    own = {
        "data.fold": "give --fold",
        **dict.fromkeys(("data.store", "data.root", "data.database"), "give --stores"),
        "data.reader": "the stores are prepared already",
    }
    check_handed_on(command, rest, own)
    train_and_test(
        folders,
        [*(f"--config={name}" for name in given.config), *rest],
        given.output,
        seeds=read_seeds(given.seeds),
        rounds=rounds,
        is_official=given.split == "official",
        judging=Judging(given.common, given.bootstrap),
        jobs=given.jobs,
        device=given.device,
        command=command,
    )


def read_stores(texts: list[str]) -> list[Path]:
    """The folders of the stores.

    Args:
        texts: What each ``--stores`` says.

    Raises:
        UsageError: there are fewer than two, or one is there twice.

    >>> [folder.name for folder in read_stores(["stores/a, stores/b", "c"])]
    ['a', 'b', 'c']
    """
    folders: list[Path] = []
    for text in texts:
        folders += [Path(part) for part in _split(text) if part]
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"--stores: {folder} is there twice")
    if len(folders) < 2:
        raise UsageError(
            f"--stores {','.join(texts)}: name at least two (for one, ferlit fit and crossval)"
        )
    return folders


def _split(text: str) -> list[str]:
    """The folders between the commas; one whose name has a comma is known by being there."""
    parts = text.split(",")
    found: list[str] = []
    while parts:
        ends = range(len(parts), 0, -1)
        joined = {end: ",".join(parts[:end]).strip() for end in ends}
        end = next((end for end in ends if joined[end] and Path(joined[end]).is_dir()), 1)
        found.append(joined[end])
        parts = parts[end:]
    return found


def read_rounds(text: str) -> "list[int] | Literal['all']":
    """The rounds of folds that ``--fold`` names.

    Raises:
        UsageError: they are no different numbers.

    >>> read_rounds("0,2"), read_rounds("all")
    ([0, 2], 'all')
    """
    if text == "all":
        return "all"
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UsageError(f"--fold {text}: give different rounds from 0, such as 0 or 0,1, or all")
    return [int(part) for part in parts]


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        usage=f"ferlit {command} --config FILE --stores A,B,... --output DIR [options] "
        "[any option of ferlit fit]",
        description="Train a network on each of some prepared stores, test each on all of them:\n"
        "the matrix of accuracies and class means, with counts and intervals.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        "-c",
        action="append",
        required=True,
        metavar="FILE",
        help="how each network is trained; several may follow each other",
    )
    parser.add_argument(
        "--stores",
        action="append",
        required=True,
        metavar="A,B,...",
        help="what ferlit prepare made; may be given several times",
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="its folder")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2 (default: 0)")
    parser.add_argument(
        "--fold",
        metavar="K",
        help="the rounds of stores that are split by folds: 0 (the default), several (0,1), or all",
    )
    parser.add_argument(
        "--split",
        choices=("official", "folds"),
        default="official",
        help="folds: split all stores by folds, also those with an official split",
    )
    parser.add_argument(
        "--common",
        action="store_true",
        help="a network may answer only classes that the store has, as in ferlit evaluate",
    )
    add_bootstrap(parser)
    add_jobs(parser)
    parser.add_argument(
        "--device", default="cpu", help="of the tests: cpu (default), cuda, cuda:1, ..."
    )
    return parser
