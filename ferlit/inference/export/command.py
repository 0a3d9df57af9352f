"""``ferlit export``: a checkpoint to a file to be passed on, or to run elsewhere."""

import argparse
from pathlib import Path

from ferlit.errors import UsageError
from ferlit.extras import require
from ferlit.options import add_trust
from ferlit.packed import ENDING

ONNX, PT2 = ".onnx", ".pt2"
_CALIBRATION = 500  # faces


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit export``."""
    given = _parse(command, options)
    _check_options(given)
    from ferlit.inference.export.exporter import export

    export(
        given.checkpoint,
        given.output,
        flip_average=given.flip,
        check_store=given.check or given.store,
        int8_store=given.store if given.int8 else None,
        calibration=given.calibration,
        temperature_store=given.temperature,
        half=given.half,
        expected=given.prior,
        card=given.card,
        trust=given.trust,
    )


def _parse(command: str, options: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Write backbone and classification branch of a checkpoint, with the softmax, "
        "as a graph: input faces, (batch, 1, 48, 48) float32, output probabilities, (batch, "
        "classes). Or, in safetensors, its weights, with a JSON beside them that says all else: "
        "small and safe to pass on, and taken by recognise, demo, evaluate and --model.init_from "
        "as the checkpoint is. The file says which classes and preprocessing it has, is "
        "compared with the network before it gets its name, and gets a model card beside it. ONNX "
        "needs pip install 'ferlit[export]'.",
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        metavar="CKPT",
        help="of a run, a .safetensors file, or a name of `ferlit models`",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="FILE",
        help="model.onnx (ONNX), model.pt2 (torch.export) or model.safetensors",
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="STORE",
        help="compare on faces of this store (default: that of --store, else random inputs)",
    )
    parser.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="average a face and its mirror image inside the graph (default: as the checkpoint "
        "was evaluated)",
    )
    parser.add_argument(
        "--temperature",
        type=Path,
        metavar="STORE",
        help="fit a temperature on the validation faces of this store, so that a probability says "
        "how often its answer is right",
    )
    parser.add_argument(
        "--prior",
        choices=("training", "uniform"),
        help="how often recognise and demo are to expect the expressions, where they are not told: "
        "as in training, or all alike (default: as the checkpoint says, training)",
    )
    parser.add_argument(
        "--half", action="store_true", help="safetensors with weights in 16 bits, half the size"
    )
    parser.add_argument(
        "--int8", action="store_true", help="ONNX in 8-bit integers, smaller and faster"
    )
    parser.add_argument(
        "--store",
        type=Path,
        help="with --int8: its training faces calibrate, validation and test faces judge",
    )
    parser.add_argument(
        "--calibration", type=int, metavar="N", help="with --int8: training faces (default: 500)"
    )
    parser.add_argument(
        "--card", type=Path, metavar="FILE", help="the model card (default: OUTPUT.md)"
    )
    add_trust(parser)
    return parser.parse_args(options)


def _check_options(given: argparse.Namespace) -> None:
    """Meet mistakes before the network is loaded."""
    if given.output.suffix not in (ONNX, PT2, ENDING):
        raise UsageError(f"--output {given.output}: the name must end in {ONNX}, {PT2} or {ENDING}")
    if given.half and given.output.suffix != ENDING:
        raise UsageError(f"--half goes with {ENDING}: --output {given.output} must end so")
    if given.int8 and given.output.suffix != ONNX:
        raise UsageError(f"--int8 writes ONNX: --output {given.output} must end in {ONNX}")
    if given.int8 and given.store is None:
        raise UsageError(
            "--int8 needs faces to calibrate on: give a store of the training data with --store "
            "STORE (`ferlit prepare` makes one)"
        )
    if given.calibration is not None and not given.int8:
        raise UsageError(f"--calibration {given.calibration} goes with --int8")
    given.calibration = _CALIBRATION if given.calibration is None else given.calibration
    if given.calibration < 1:
        raise UsageError(f"--calibration {given.calibration}: at least 1 face")
    if given.output.suffix == ONNX:
        require("onnx", "onnxscript", *(["onnxruntime"] if given.int8 else []))
