"""A checkpoint to an exported file and its model card, both checked before they get their names."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from ferlit.data.faces.registration import canonical_landmarks
from ferlit.data.store import Store
from ferlit.data.store.manifest import checksum
from ferlit.errors import FerlitError
from ferlit.files import whole_file
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.classifiers.metadata import Metadata, read_metadata
from ferlit.inference.export.graphs import ProbabilityNetwork, write_onnx, write_pt2
from ferlit.inference.export.model_card import model_card
from ferlit.inference.export.parity import ParityInputs, check, check_int8, random_faces, real_faces
from ferlit.inference.export.quantise import LabelledFaces, quantise
from ferlit.inference.licences import licence_note
from ferlit.inference.origin import Origin


def export(
    checkpoint: Path,
    output: Path,
    *,
    flip_average: bool | None = None,
    check_store: Path | None = None,
    int8_store: Path | None = None,
    calibration: int = 500,
    card: Path | None = None,
    trust: Sequence[str] = (),
) -> None:
    """Export a checkpoint of a run, and print what was checked.

    Args:
        checkpoint: Of ``ferlit fit``.
        output: The new file, .onnx or .pt2; one that is there already is replaced.
        flip_average: Average a face and its mirror image; None does it where the run did.
        check_store: Its faces are what the file is compared on; None takes random inputs.
        int8_store: Quantise, calibrated on training faces of this store.
        calibration: How many of them.
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
    origin = Origin.of(checkpoint)
    metadata = describe(network, origin)
    sample = random_faces()
    if check_store is not None:
        sample = real_faces(Store.open(check_store, identities=False), network.preprocessing)
    checks: list[str] = []
    card = card or output.with_name(output.name + ".md")
    try:
        # Both are there, or what was there before.
        with whole_file(output) as draft, whole_file(card) as card_draft:
            if int8_store is None:
                checks += [_write(network, metadata, sample, draft)]
            else:
                faces = LabelledFaces(int8_store, network, origin)
                checks += _write_int8(network, metadata, sample, faces, calibration, draft)
            sums = {output.name: checksum(draft)}
            text = model_card(origin, read_metadata(draft), sums, checks)
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
        licence=licence_note(origin.databases),
        checkpoint_sha256=checksum(origin.checkpoint),
        canonical_landmarks=tuple((x, y) for x, y in points),
    )


def _write(network: ModuleClassifier, metadata: Metadata, sample: ParityInputs, path: Path) -> str:
    write = write_onnx if path.suffix == ".onnx" else write_pt2
    write(ProbabilityNetwork(network.module), path, metadata)
    parity = check(network, load_classifier(path), sample)
    return f"compared with the network on {sample.name}: {parity}"


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
