"""What a release wrote is still read, and gives the same numbers; its names are still there.

The files are those of `tests.released.make`. A test uses a copy, as a user who moved a folder.
"""

import gzip
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from ferlit.cli import main
from tests.released import measures
from tests.released.make import CROSSVAL, EXPECTED, FILES, MOVED, RESUMED, STAGES

TOLERANCE = 1e-6
TABLES = 1e-5  # their numbers are rounded
TRAINED = 1e-3  # epochs of training, on another processor
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
WHERE = ("checkpoint", "folder")  # paths in what an evaluation says
# Rooms inside the package that no file names, by where they are now.
ROOMS = {
    "ferlit.data.detection": "ferlit.data.faces.detection",
    "ferlit.data.synthetic.trees": "ferlit.data.databases.trees",
}
OF_ITS_OWN = ("- report: ", "| model.pt2 |")  # lines with a date, or a checksum of a new file


def expected(name: str) -> Any:
    return json.loads(gzip.decompress((EXPECTED / f"{name}.json.gz").read_bytes()))


def differences(old: Any, new: Any, tolerance: float = TOLERANCE, name: str = "") -> list[str]:
    """Where the present state lacks something that the release had, or has other numbers."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in old
            for line in (
                differences(old[key], new[key], tolerance, f"{name}.{key}")
                if key in new
                else [f"{name}.{key}: gone"]
            )
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for place, (one, other) in enumerate(zip(old, new, strict=True))
            for line in differences(one, other, tolerance, f"{name}[{place}]")
        ]
    if isinstance(old, float) and isinstance(new, float | int):
        return (
            []
            if math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)
            else [f"{name}: {old} -> {new}"]
        )
    return [] if old == new else [f"{name}: {old!r} -> {new!r}"]


def of_json(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of all files, which is the current folder: the release used relative paths."""
    copy = tmp_path_factory.mktemp("released") / "files"
    shutil.copytree(FILES, copy)
    for path in copy.rglob("*.json"):  # the few absolute paths that are read
        path.write_text(path.read_text("utf-8").replace(MOVED, str(copy)), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        yield copy


@pytest.mark.parametrize("name", measures.STORES)
def test_a_store_gives_the_same_faces_and_records(files: Path, name: str) -> None:
    table = of_json(measures.store_table(files / "stores" / name))
    assert differences(expected("stores")[name], table) == []


def test_a_data_module_gives_the_same_split_and_batches(files: Path) -> None:
    found = of_json(measures.loading(files / "stores" / "ckplus"))
    assert differences(expected("loading"), found, 1e-4) == []


@pytest.mark.parametrize(
    ("command", "run"),
    [
        ("test", measures.TWO_BRANCHES),
        ("test", measures.SOFTMAX),
        ("validate", measures.TWO_BRANCHES),
    ],
)
def test_an_evaluation_of_a_run_is_the_one_there(files: Path, command: str, run: str) -> None:
    (folder,) = (files / run / "evaluations").glob(f"{command}_best_*")
    names = ("metrics.json", "predictions.csv", "confusion.csv", "confusion_sequences.csv")
    before = {name: read(folder / name) for name in names}
    for name in names:
        (folder / name).unlink()
    assert main([command, run, "--trainer.enable_progress_bar=false"]) == 0
    assert [*(files / run / "evaluations").glob(f"{command}_best_*")] == [folder]
    for name in names:
        assert differences(before[name], read(folder / name), TABLES) == [], name


def test_the_predictions_of_a_run_are_the_same(files: Path) -> None:
    path = files / measures.TWO_BRANCHES / "predictions_all.csv"
    before = read(path)
    path.unlink()
    assert main(["predict", measures.TWO_BRANCHES, "--trainer.enable_progress_bar=false"]) == 0
    assert differences(before, read(path), TABLES) == []


def test_a_run_goes_on_as_it_did(files: Path, tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("runs", "stores"):
        shutil.copytree(FILES / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert main([*RESUMED["2b_nm"], "--trainer.enable_progress_bar=false"]) == 0
    before = tmp_path / "before.csv"
    before.write_text(expected("resumed")["2b_nm"])
    after = tmp_path / measures.TWO_BRANCHES / "metrics.csv"
    assert differences(read(before), read(after), TRAINED) == []


def test_a_cross_validation_is_finished_and_fits_nothing(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = [*Path("cv").glob("confusion_*.csv"), Path("cv/results.json"), *run_files("cv")]
    before = {path: (read(path), path.stat().st_mtime_ns) for path in tables}
    assert main(CROSSVAL) == 0
    for path, (content, written) in before.items():
        assert differences(content, read(path)) == [], path
        assert path.stat().st_mtime_ns == written or path.parent == Path("cv"), path
    assert not list(Path("cv").rglob("fit.log"))
    assert "6 of 6 runs are finished already" in capsys.readouterr().out


def test_stages_are_finished_and_fit_nothing(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_files("stages")}
    assert len(before) == 2
    assert main(STAGES) == 0
    assert {path: path.stat().st_mtime_ns for path in run_files("stages")} == before
    assert not list(Path("stages").rglob("fit.log"))
    assert capsys.readouterr().out.count("finished already") == 2


@pytest.mark.parametrize("runs", measures.REPORTED)
def test_a_report_says_the_same(files: Path, runs: str, tmp_path: Path) -> None:
    assert main(["report", f"--runs={runs}", f"--output={tmp_path}"]) == 0
    same_text(expected("reports")[runs], (tmp_path / "report.md").read_text())


def test_an_export_has_the_same_card(files: Path, tmp_path: Path) -> None:
    checkpoint = f"{measures.TWO_BRANCHES}/checkpoints/best.ckpt"
    assert main(["export", f"--checkpoint={checkpoint}", f"--output={tmp_path}/model.pt2"]) == 0
    old, new = ((folder / "model.pt2.md").read_text() for folder in (Path("exported"), tmp_path))
    stores = re.search(r"\| store \|.*?\n\n(?=\| part \|)", new, re.DOTALL)
    assert stores is not None, "what a card has told since"
    same_text(old, new.replace(stores[0], ""))


@pytest.mark.parametrize("path", measures.NETWORKS)
def test_a_network_gives_the_same_probabilities(files: Path, path: str) -> None:
    found = measures.probabilities(Path(path), Path(measures.FACE))
    tolerance = 1e-3 if "int8" in path else TOLERANCE  # processors round 8 bits in their own ways
    assert found == pytest.approx(expected("probabilities")[path], abs=tolerance)


def test_the_networks_have_the_same_weights_and_answers() -> None:
    assert differences(expected("networks"), of_json(measures.networks()), 1e-4) == []


@pytest.mark.parametrize("name", measures.losses())
def test_a_loss_loads_its_state_and_gives_the_same(files: Path, name: str) -> None:
    loss = measures.losses()[name]()
    state = torch.load(files / "losses" / f"{name}.pt", weights_only=True)
    assert {*loss.state_dict()} == {*state}
    loss.load_state_dict(state)
    found = of_json(measures.answers(loss))
    assert differences(expected("losses")[name], found, 1e-5) == []


def test_the_equations_give_the_same() -> None:
    assert differences(expected("equations"), measures.equations()) == []


def test_the_sampler_draws_the_same() -> None:
    assert measures.tuples_drawn() == expected("sampler")


def test_every_public_name_is_there() -> None:
    for module, names in expected("names").items():
        present = import_module(ROOMS.get(module, module))
        gone = [name for name in names if not hasattr(present, name)]
        assert gone == [], module


def test_every_class_path_that_a_file_names_is_there() -> None:
    for path in expected("class_paths"):
        module, _, name = path.rpartition(".")
        assert callable(getattr(import_module(module), name))


def test_every_command_has_its_options() -> None:
    found = measures.options()
    gone = {
        command: missing
        for command, options in expected("options").items()
        if (missing := {*options} - {*found.get(command, [])})
    }
    assert gone == {}


def test_every_configuration_means_the_same() -> None:
    now = of_json(measures.configurations())
    systems = now["sweeps/grid_systems.yaml"]["parameters"]["config"]["values"]
    systems.remove("systems/softmax_tuples.yaml")  # came later
    assert differences(expected("configurations"), now) == []


def same_text(old: str, new: str) -> None:
    """See that two texts differ in nothing but their numbers, and there by a little."""
    kept = [
        [line for line in text.splitlines() if not line.startswith(OF_ITS_OWN)]
        for text in (old, new)
    ]
    for before, after in zip(*kept, strict=True):
        assert NUMBER.sub("#", before) == NUMBER.sub("#", after)
        numbers = [[float(n) for n in NUMBER.findall(line)] for line in (before, after)]
        assert differences(*numbers, tolerance=0.1) == [], after


def read(path: Path) -> Any:
    """A table or JSON file as plain data, without paths."""
    if path.suffix == ".csv":
        return of_json(json.loads(pd.read_csv(path).to_json(orient="split", double_precision=15)))
    content = json.loads(path.read_text())
    return without(content, WHERE) if path.name == "metrics.json" else content


def without(content: Any, names: tuple[str, ...]) -> Any:
    if isinstance(content, Mapping):
        return {k: without(v, names) for k, v in content.items() if k not in names}
    return content


def run_files(folder: str) -> list[Path]:
    return list(Path(folder).rglob("run.json"))
