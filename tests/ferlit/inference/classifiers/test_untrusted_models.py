"""Model files of strangers: nothing in them is run."""

import builtins
import io
import json
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ferlit.cli import main
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.inference.small import CLASSES, METADATA, write_checkpoint, write_exported

FACES = np.random.default_rng(0).normal(size=(3, 1, 48, 48)).astype("f")


class Payload:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return builtins.open, (str(self.path), "w")


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exported(tmp_path_factory.mktemp("pt2") / "model.pt2")


def rewritten(source: Path, target: Path, parts: dict[str, bytes]) -> Path:
    """A .pt2 with other parts, or more, without the checksum of its content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        kept = {name.partition("/")[2]: old.read(name) for name in old.namelist()}
        extra = METADATA.properties()
        del extra["sealed"], extra["content_sha256"]
        kept["extra/ferlit.json"] = json.dumps(extra).encode()
        for name, content in {**kept, **parts}.items():
            new.writestr(f"{root}/{name}", content)
    return target


def part(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(f"{archive.namelist()[0].partition('/')[0]}/{name}"))


def pickled(payload: Payload) -> bytes:
    content = io.BytesIO()
    torch.save(payload, content)
    return content.getvalue()


def config(**entry: Any) -> bytes:
    meta = {"path_name": "tensor_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    return json.dumps({"config": {"constant": {**meta, **entry}}}).encode()


def test_harmless_files_of_the_released_version_load(harmless: Path, tmp_path: Path) -> None:
    samples = io.BytesIO()
    torch.save(((torch.zeros(2, 1, 48, 48),), {}), samples)
    parts = {"data/sample_inputs/model.pt": samples.getvalue()}
    older = rewritten(harmless, tmp_path / "older.pt2", parts)
    np.testing.assert_array_equal(load_classifier(older)(FACES), load_classifier(harmless)(FACES))


@pytest.mark.parametrize("name", ["sample_inputs", "opaque", "custom", "tensor", "weights", "so"])
def test_a_pickle_in_any_part_of_a_pt2_is_refused_by_its_name_and_not_run(
    harmless: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    payload = Payload(tmp_path / "was_run")
    constants = "data/constants/model_constants_config.json"
    weights = part(harmless, "data/weights/model_weights_config.json")
    next(iter(weights["config"].values()))["use_pickle"] = True
    parts = {
        "sample_inputs": {"data/sample_inputs/model.pt": pickled(payload)},
        "opaque": {
            "data/constants/opaque_obj_0": pickle.dumps(payload),
            constants: config(path_name="opaque_obj_0"),
        },
        "custom": {
            "data/constants/custom_obj_0": pickled(payload),
            constants: config(path_name="custom_obj_0"),
        },
        "tensor": {"data/constants/tensor_0": pickled(payload), constants: config()},
        "weights": {
            "data/weights/weight_0": pickled(payload),
            "data/weights/model_weights_config.json": json.dumps(weights).encode(),
        },
        "so": {"data/aotinductor/model/wrapper.so": b"\x7fELF"},
    }[name]
    path = rewritten(harmless, tmp_path / "model.pt2", parts)
    picture = tmp_path / "face.pgm"
    picture.write_bytes(b"P5 48 48 255\n" + bytes(48 * 48))
    assert main(["recognise", f"--model={path}", "--aligned", str(picture)]) == 1
    error = capsys.readouterr().err
    assert str(path) in error
    assert next(iter(parts)) in error
    assert "could run code" in error
    assert not payload.path.exists()


def with_nodes(path: Path, edit: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    model = part(path, "models/model.json")
    edit(model["graph_module"]["graph"])
    return {"models/model.json": json.dumps(model).encode()}


@pytest.mark.parametrize(
    "target",
    [
        "torch.serialization.os.system",
        "torch.ops.aten.from_file.default",
        "torch.ops.load_library",
        "torch.ops.aten.__class__.mro",
        "torch.ops.aten.set_.source_Tensor",
        "_operator.call",
        "#custom.run",
    ],
)
def test_a_graph_that_calls_anything_but_operators_on_tensors_is_refused(
    harmless: Path, tmp_path: Path, target: str
) -> None:
    def call(graph: dict[str, Any]) -> None:
        graph["nodes"][0]["target"] = target

    path = rewritten(harmless, tmp_path / "a.pt2", with_nodes(harmless, call))
    with pytest.raises(FerlitError, match="which is no operator") as error:
        load_classifier(path)
    assert target in str(error.value)


def test_the_text_of_a_size_is_not_evaluated(harmless: Path, tmp_path: Path) -> None:
    evil = tmp_path / "was_run"

    def name_size(graph: dict[str, Any]) -> None:
        text = {"expr_str": f"open({str(evil)!r}, 'w')", "hint": None}
        for value in graph["tensor_values"].values():
            value["sizes"] = [{"as_expr": text}]

    path = rewritten(harmless, tmp_path / "a.pt2", with_nodes(harmless, name_size))
    assert load_classifier(path)(FACES).shape == (3, 2)
    assert not evil.exists()


def test_two_parts_of_one_name_and_compressed_ones_are_refused(
    harmless: Path, tmp_path: Path
) -> None:
    twice = Path(shutil.copy(harmless, tmp_path / "twice.pt2"))
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/models/model.json", "{}")
    with pytest.raises(FerlitError, match=r"two parts of the name archive/models/model\.json"):
        load_classifier(twice)
    bomb = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    with pytest.raises(FerlitError, match=r"archive/data\.pkl is compressed"):
        load_classifier(bomb)


@pytest.fixture
def intruder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module in the working folder that leaves a file behind where it is imported."""
    mark = tmp_path / "was_run"
    (tmp_path / "intruder.py").write_text(
        f"open({str(mark)!r}, 'w')\n"
        "from ferlit.training import ExpressionModule as Whole\n"
        "from tests.ferlit.tiny import TinyBackbone as Net\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "intruder", raising=False)
    return mark


NESTED = {"class_path": "torch.nn.Sequential", "init_args": {"x": [{"class_path": "intruder.Net"}]}}


@pytest.mark.parametrize(
    "settings",
    [
        {"_class_path": "intruder.Whole"},
        {"backbone": {"class_path": "intruder.Net"}},
        {"backbone": "intruder.Net"},
        {"backbone": NESTED},
        {"branches": "intruder.Net"},
        {"optimizer": {"class_path": "intruder.Net"}},
        {
            "lr_scheduler": {
                "class_path": "torch.optim.lr_scheduler.LambdaLR",
                "init_args": {"lr_lambda": "intruder.Net"},
            }
        },
    ],
)
def test_a_checkpoint_does_not_import_a_module_that_nobody_trusts(
    tmp_path: Path, intruder: Path, settings: dict[str, Any]
) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt", **settings)
    with pytest.raises(FerlitError, match=r"a\.ckpt: its network has intruder\.\w+") as error:
        load_classifier(path)
    assert "--trust intruder" in str(error.value)
    assert not intruder.exists()
    assert "intruder" not in sys.modules


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": {"class_path": "os.system"}}, "has os.system, which is no module of"),
        ({"backbone": '{"class_path": "intruder.Net"}'}, "could name any code"),
        ({"backbone": "class_path: intruder.Net"}, "could name any code"),
        ({"backbone": "intruder.a/b"}, "has intruder.a/b, which is no module"),
        ({"backbone": {"class_path": "torch.hub.load"}}, "has torch.hub.load, which is no module"),
        (
            {"backbone": {"class_path": "torch.fx.GraphModule"}},
            "torch.fx.GraphModule, which is no module",
        ),
        ({"optimizer": "torch.nn.functional.relu"}, "no network, loss, optimiser or schedule"),
        ({"optimizer": "torch.optim.lr_scheduler.partial"}, "no network, loss, optimiser"),
        (
            {"optimizer": "ferlit.__main__.entry_point"},
            "ferlit.__main__.entry_point, which is no module",
        ),
        ({"optimizer": "ferlit.cli.main"}, "no network, loss, optimiser or schedule"),
        ({"_instantiator": "os.system"}, "built by os.system"),
    ],
)
def test_a_checkpoint_that_names_a_function_or_foreign_code_is_refused(
    tmp_path: Path, intruder: Path, settings: dict[str, Any], message: str
) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt", **settings)
    with pytest.raises(FerlitError) as error:
        load_classifier(path)
    assert message in str(error.value)
    assert not intruder.exists()


def test_what_the_user_names_is_trusted(
    tmp_path: Path, intruder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt", backbone={"class_path": "intruder.Net"})
    with pytest.raises(FerlitError, match="--trust intruder"):
        Recogniser(path, trust=["intrude"])
    recogniser = Recogniser(path, trust=["intruder"])
    assert list(recogniser.classes) == CLASSES
    assert intruder.exists()
    assert main(["export", f"--checkpoint={path}", f"--output={tmp_path / 'a.pt2'}"]) == 1
    more = ("--trust", "other", "--trust", "intruder")
    assert main(["export", f"--checkpoint={path}", f"--output={tmp_path / 'a.pt2'}", *more]) == 0
    monkeypatch.setenv("FERLIT_TRUST", "intruder")
    with pytest.raises(FerlitError, match="--trust tests"):
        load_classifier(write_checkpoint(tmp_path / "b.ckpt"))


def test_losses_of_the_common_package_are_trusted(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_metric_learning", reason="needs pip install 'ferlit[pml]'")
    from ferlit.inference.classifiers.trust import check_class_paths

    loss = {"class_path": "pytorch_metric_learning.losses.TripletMarginLoss"}
    check_class_paths(tmp_path, {"metric_loss": loss})
    with pytest.raises(FerlitError, match="no network, loss"):
        check_class_paths(
            tmp_path, {"metric_loss": "pytorch_metric_learning.utils.common_functions.torch"}
        )
