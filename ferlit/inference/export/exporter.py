"""A checkpoint to an exported file and its model card, both checked before they get their names."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console

from ferlit.data.faces.registration import canonical_landmarks
from ferlit.data.store import Store
from ferlit.data.store.manifest import checksum
from ferlit.errors import DataError, FerlitError
from ferlit.evaluation.calibration import calibration as calibration_of
from ferlit.files import whole_file
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.classifiers.metadata import Metadata, read_metadata
from ferlit.inference.export.graphs import ProbabilityNetwork, write_onnx, write_pt2
from ferlit.inference.export.labelled_faces import LabelledFaces
from ferlit.inference.export.model_card import model_card
from ferlit.inference.export.parity import (
    LARGEST_DIFFERENCE,
    LARGEST_IN_HALF,
    ParityInputs,
    check,
    check_int8,
    predict,
    random_faces,
    real_faces,
)
from ferlit.inference.export.quantise import quantise
from ferlit.inference.export.shared_files import write_shared
from ferlit.inference.licences import licence_note
from ferlit.inference.origin import Origin
from ferlit.inference.prior import Named, ratios
from ferlit.inference.temperature import fit_temperature, tempered
from ferlit.packed import ENDING, description_of


def export(
    checkpoint: Path,
    output: Path,
    *,
    flip_average: bool | None = None,
    check_store: Path | None = None,
    int8_store: Path | None = None,
    calibration: int = 500,
    temperature_store: Path | None = None,
    half: bool = False,
    expected: Named | None = None,
    card: Path | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Export a checkpoint of a run, and print what was checked.

    Args:
        checkpoint: Of ``ferlit fit``, or what was exported from one in safetensors.
        output: The new file, .onnx, .pt2 or .safetensors (with a .json beside it); one that is
            there already is replaced.
        flip_average: Average a face and its mirror image; None does it where the run did.
        check_store: Its faces are what the file is compared on; None takes random inputs.
        int8_store: Quantise, calibrated on training faces of this store.
        calibration: How many of them.
        temperature_store: Fit a temperature on the validation faces of this store, see
            `ferlit.inference.temperature`; None keeps what the network has.
        half: Keep the weights in 16 bits, in safetensors.
        expected: The prior that recognition takes where none is named; None keeps the network's.
        card: The model card; None puts it beside the file.
        trust: Modules whose classes the checkpoint may name, beside ferlit's and PyTorch's.

    Raises:
        FerlitError: the checkpoint or a store cannot be used, a package is missing, or the file
            does not give what the network gives; there is no new file then.
    """
    network = load_classifier(checkpoint, trust=trust)
    if not isinstance(network, ModuleClassifier):
        raise FerlitError(f"{checkpoint}: it is exported already; give a checkpoint of a run")
    if flip_average is not None:
        network.module.flip_average = flip_average
    if expected is not None:
        ratios(expected, network.classes, network.prior)  # needs to know the network's own
        network.expected = expected
    origin = Origin.of(checkpoint)
    checks: list[str] = []
    if temperature_store is not None:
        checks.append(_fit_temperature(network, origin, temperature_store))
    metadata = describe(network, origin)
    if half:
        metadata = replace(metadata, precision="float16")
    sample = random_faces()
    if check_store is not None:
        sample = real_faces(Store.open(check_store, identities=False), network.preprocessing)
    card = card or output.with_name(output.name + ".md")
    try:
        # All are there, or what was there before.
        with ExitStack() as drafts:
            names = [output, *([description_of(output)] if output.suffix == ENDING else [])]
            written = {name.name: drafts.enter_context(whole_file(name)) for name in names}
            card_draft = drafts.enter_context(whole_file(card))
            draft = written[output.name]
            if output.suffix == ENDING:
                write_shared(network, metadata, origin, draft)
                checks.append(_compare(network, draft, sample, half=half))
            elif int8_store is None:
                checks.append(_write(network, metadata, sample, draft))
            else:
                faces = LabelledFaces(int8_store, network, origin)
                checks += _write_int8(network, metadata, sample, faces, calibration, draft)
                metadata = read_metadata(draft)
            sums = {name: checksum(path) for name, path in written.items()}
            text = model_card(origin, metadata, sums, checks)
            card_draft.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FerlitError(
            f"{output}: it cannot be written ({error.strerror or error}); nothing was changed"
        ) from error
    lines = [*checks, f"{output}: {_size(output)}", f"{card}: the model card"]
    for line in lines:
        Console().print(line, highlight=False, markup=False, soft_wrap=True)


def describe(network: ModuleClassifier, origin: Origin) -> Metadata:
    """The metadata of a network's exported file, in float32."""
    points = canonical_landmarks().tolist()
    return Metadata(
        ferlit_version=version("ferlit"),
        classes=network.classes,
        sequence_rule=network.sequence_rule,
        preprocessing=network.preprocessing,
        flip_average=network.module.flip_average,
        prior=network.prior,
        databases=origin.databases,
        stores=origin.stores,
        licence=licence_note(origin.databases),
        expected=network.expected,
        temperature=network.temperature,
        checkpoint_sha256=checksum(origin.checkpoint),
        canonical_landmarks=tuple((x, y) for x, y in points),
    )


def _write(network: ModuleClassifier, metadata: Metadata, sample: ParityInputs, path: Path) -> str:
    write = write_onnx if path.suffix == ".onnx" else write_pt2
    write(ProbabilityNetwork(network.module, network.temperature), path, metadata)
    return _compare(network, path, sample)


def _compare(
    network: ModuleClassifier, path: Path, sample: ParityInputs, *, half: bool = False
) -> str:
    most = LARGEST_IN_HALF if half else LARGEST_DIFFERENCE
    parity = check(network, load_classifier(path), sample, most)
    return f"compared with the network on {sample.name}: {parity}"


def _fit_temperature(network: ModuleClassifier, origin: Origin, store: Path) -> str:
    """Give a network the temperature that fits the validation faces of a store."""
    faces = LabelledFaces(store, network, origin)
    rows = faces.rows("val")
    if len(rows) == 0:
        raise DataError(f"{store}: it has no labelled validation faces to fit a temperature on")
    network.temperature = 1.0
    inputs, labels = faces.inputs(rows), faces.labels(rows)
    before = predict(network, inputs, "validation")
    network.temperature = fit_temperature(before, labels)
    after = tempered(torch.from_numpy(before), network.temperature).numpy()
    errors = [
        calibration_of(found.max(1).astype(np.float64), found.argmax(1) == labels).error
        for found in (before, after)
    ]
    name = faces.store.description.database
    return (
        f"temperature {network.temperature:.3f}, fitted on {len(rows)} validation faces of {name}: "
        f"expected calibration error {errors[0]:.3f} before, {errors[1]:.3f} after"
    )


def _write_int8(
    network: ModuleClassifier,
    metadata: Metadata,
    sample: ParityInputs,
    faces: LabelledFaces,
    calibration: int,
    path: Path,
) -> list[str]:
    inputs = faces.calibration(calibration)
    with TemporaryDirectory() as folder:
        float32 = Path(folder, path.name)
        before = f"float32, {_write(network, metadata, sample, float32)}"
        quantise(float32, path, inputs)
        size = f"size: {_size(float32)} in float32, {_size(path)} in int8"
    name = faces.store.description.database
    lines = [before, f"int8, calibrated on {len(inputs)} training faces of {name}", size]
    int8 = load_classifier(path)
    judgements = [faces.judge(part, int8) for part in ("val", "test")]
    for judgement in filter(None, judgements):
        check_int8(judgement.parity)
        lines.append(f"int8, {judgement}")
    return lines


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"
