"""``ferlit evaluate``: one model on the faces of any stores."""

import argparse
from pathlib import Path

from ferlit.errors import UsageError
from ferlit.options import add_bootstrap, add_prior, add_trust, check_bootstrap

_EPILOG = """\
Classes are matched by name. Faces of an expression that the model does not know are left out and
counted; classes that a store lacks stay possible answers, unless --common is given. The faces are
prepared as those of the model's training were. Accuracy is the share of right answers, class mean
the mean recall of the classes that occur, macro F1 the mean over those that occur or are answered,
ECE the expected calibration error in 15 bins of the highest probability. Intervals are drawn over
persons; over recordings and pictures where a store names none.

examples:
  ferlit evaluate --model runs/fer2013/version_0 --store stores/ckplus --store stores/jaffe
  ferlit evaluate --model ferplus --store stores/rafdb --prior training
  ferlit evaluate --model model.onnx --store stores/rafdb --common --output evaluations/rafdb
"""


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit evaluate``."""
    given = _parser(command).parse_args(options)
    check_bootstrap(given.bootstrap)
    if given.seed < 0:
        raise UsageError(f"--seed {given.seed}: from 0")
    places = [folder.resolve() for folder in given.store]
    for folder, place in zip(given.store, places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"--store {folder}: the same store twice")
    # Heavy imports only now, so that --help and a mistyped option answer at once.
    from ferlit.inference.evaluate.stores import evaluate_stores
    from ferlit.inference.prior import parse_prior

    evaluate_stores(
        given.model,
        given.store,
        output=given.output,
        part=given.part,
        flip=given.flip,
        common=given.common,
        prior=None if given.prior is None else parse_prior(given.prior),
        draws=given.bootstrap,
        seed=given.seed,
        allow_seen=given.allow_seen_people == "true",
        device=given.device,
        trust=given.trust,
    )


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Evaluate a model on the faces of prepared stores, of whatever database:\n"
        "accuracy, class mean, macro F1, confusion and calibration, with intervals.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model",
        required=True,
        type=Path,
        help="a run's checkpoint, .safetensors, .onnx or .pt2; a name of `ferlit models`; or a "
        "run's folder, for its best checkpoint",
    )
    parser.add_argument(
        "--store",
        required=True,
        action="append",
        type=Path,
        metavar="STORE",
        help="what ferlit prepare made; may be given several times",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="gets evaluation.json, table.csv and a folder for each store: metrics.json, "
        "predictions.csv, confusion.csv and .png, reliability.png",
    )
    parser.add_argument(
        "--part",
        choices=("test", "val", "train", "all"),
        help="of a store's official split (default: test where it has one with labels, else all)",
    )
    parser.add_argument(
        "--common",
        action="store_true",
        help="the model may answer only classes that the store has: their probabilities are "
        "divided by their sum",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average over a face and its mirror image"
    )
    add_prior(parser)
    add_bootstrap(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    parser.add_argument(
        "--allow_seen_people",
        type=str.lower,
        choices=("true", "false"),
        default="false",
        help="evaluate also on faces that the model was trained or validated on, or whose persons "
        "were; the result says so (default: false, they are refused)",
    )
    add_trust(parser)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    return parser
