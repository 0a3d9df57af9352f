"""A checkpoint as safetensors with a JSON beside it: the whole network, to be passed on.

It can be used as the checkpoint can (`ferlit recognise`, `evaluate`, ``--model.init_from``), knows
whom it was trained with, and holds neither the state of the training nor a path of its machine.
"""

from dataclasses import asdict
from pathlib import Path

from ferlit import archives
from ferlit.data.loading.preprocessing import PREPROCESSING, PRIOR
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.metadata import Metadata
from ferlit.inference.origin import Origin, without_paths
from ferlit.inference.prior import EXPECTED
from ferlit.inference.temperature import TEMPERATURE
from ferlit.packed import half, write_packed
from ferlit.runs.checkpoints import CONFIGURATION, config_of
from ferlit.runs.people import PEOPLE

_TOLD = ("ferlit_version", "databases", "stores", "licence", "checkpoint_sha256", "precision")


def write_shared(network: ModuleClassifier, metadata: Metadata, origin: Origin, path: Path) -> None:
    """Write a network as `ferlit.packed` reads it.

    Args:
        network: Of a checkpoint.
        metadata: What an exported file says of it; precision "float16" keeps its weights so.
        origin: The run of the checkpoint.
        path: The weights; the JSON lies beside them.
    """
    content = archives.read_checkpoint(origin.checkpoint)
    state = network.module.state_dict()
    settings = content["hyper_parameters"] | {"init_from": None}
    settings["flip_average"] = network.module.flip_average
    write_packed(
        path,
        {
            "classes": list(network.classes),
            PREPROCESSING: asdict(network.preprocessing),
            PRIOR: list(network.prior),
            TEMPERATURE: network.temperature,
            EXPECTED: network.expected,
            "hyper_parameters": settings,
            CONFIGURATION: without_paths(config_of(origin.checkpoint, content)),
            "figures": origin.metrics,
            PEOPLE: content.get(PEOPLE),
            "pytorch-lightning_version": content["pytorch-lightning_version"],
            **{name: getattr(metadata, name) for name in _TOLD},
            "state_dict": dict(half(state)) if metadata.precision == "float16" else state,
        },
    )
