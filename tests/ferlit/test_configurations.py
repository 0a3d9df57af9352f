from pathlib import Path

import pytest
import yaml

from ferlit.cli import main
from ferlit.configurations import CONFIGS
from ferlit.errors import FerlitError
from ferlit.training.fit.options import resolve
from ferlit.training.stages.command import link
from ferlit.training.stages.plan import apply_options, read_plan

EXPERIMENTS = sorted(path.name for path in CONFIGS.glob("*.yaml") if path.name != "wandb.yaml")
SYSTEMS = sorted(path.name for path in (CONFIGS / "systems").glob("*.yaml"))
STAGES = sorted(path.name for path in (CONFIGS / "stages").glob("*.yaml"))


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--print_config", *options])
    assert stop.value.code in (0, None)
    config: dict[str, object] = yaml.safe_load(capsys.readouterr().out)
    return config


def test_the_promised_experiments_and_systems_are_there() -> None:
    promised = {"demo", "fer2013", "multipie", "ckplus", "ck48", "mmi", "sfew"}
    assert {f"{name}.yaml" for name in promised} <= set(EXPERIMENTS)
    assert STAGES == ["ckplus.yaml", "demo.yaml", "mmi.yaml", "sfew.yaml"]
    systems = ["1b_n1", "1b_nm", "2b_n1", "2b_nm", "softmax", "softmax_tuples"]
    assert [f"{name}.yaml" for name in systems] == SYSTEMS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_prints_its_whole_configuration(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = printed(capsys, "--config", name)
    assert {"model", "data", "trainer", "checkpoint", "seed_everything"} <= config.keys()
    assert config["trainer"]["logger"]["init_args"]["name"] == Path(name).stem  # type: ignore[index]


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "softmax_tuples.yaml"])
def test_every_system_overlays_ckplus(system: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = printed(capsys, "--config=ckplus.yaml", f"--config=systems/{system}")
    model, data = config["model"], config["data"]
    branches, loss = Path(system).stem.split("_") if "_" in system else ("1b", None)
    assert model["init_args"]["branches"]["class_path"].endswith(  # type: ignore[index]
        {"1b": "OneBranch", "2b": "TwoBranch"}[branches]
    )
    expected = {"n1": "NPlusOneTupletLoss", "nm": "AdaptiveNMTupleClustersLoss", None: None}[loss]
    metric_loss = model["init_args"].get("metric_loss")  # type: ignore[index]
    assert (metric_loss and metric_loss["class_path"].rpartition(".")[2]) == expected
    kind = "ExpressionDataModule" if loss is None else "TupleDataModule"
    assert data["class_path"].endswith(kind)  # type: ignore[index]
    assert data["init_args"]["folds"] == 8  # type: ignore[index]


def test_the_control_differs_from_2b_nm_in_the_weight_of_the_metric_loss_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    control, full = (
        printed(capsys, "--config=mmi.yaml", f"--config=systems/{name}.yaml")
        for name in ("softmax_tuples", "2b_nm")
    )
    assert control["model"]["init_args"].pop("alpha") == 0  # type: ignore[index]
    assert full["model"]["init_args"].pop("alpha") == 1  # type: ignore[index]
    assert control == full


@pytest.mark.parametrize(
    ("name", "size", "folds"),
    [("multipie", 3, 8), ("ckplus", 6, 8), ("ck48", 6, 8), ("mmi", 5, 10), ("sfew", 6, None)],
)
def test_tuples_and_folds_are_those_of_the_paper(
    name: str, size: int, folds: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    config = printed(capsys, f"--config={name}.yaml")
    data, model = config["data"]["init_args"], config["model"]["init_args"]  # type: ignore[index]
    assert (data["positives"], data["negatives"], data["tuples_per_batch"]) == (size, size, 12)
    assert (data["fold"], data["folds"]) == ((0, folds) if folds else (None, data["folds"]))
    assert (model["alpha"], model["softmax_on"]) == (1.0, "query")
    assert model["optimizer"]["class_path"] == "torch.optim.Adam"
    assert model["lr_scheduler"]["class_path"] == "ferlit.training.CosineAnnealingLR"
    assert model["lr_scheduler"]["init_args"]["T_max"] is None  # all epochs of the trainer


def test_stage_1_backs_off_as_the_paper_says(capsys: pytest.CaptureFixture[str]) -> None:
    config = printed(capsys, "--config=fer2013.yaml")
    (backoff,) = config["trainer"]["callbacks"]  # type: ignore[index]
    assert backoff["class_path"] == "ferlit.training.BackOff"
    values = {"rise": 0.25, "patience": 10, "factor": 0.5, "best": "loss"}
    assert backoff["init_args"].items() >= values.items()
    assert config["model"]["init_args"]["lr_scheduler"] is None  # type: ignore[index]


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_a_fit_that_parses(name: str, tmp_path: Path) -> None:
    stages = read_plan(CONFIGS / "stages" / name)
    places = {f"roots.{stage.name}": str(tmp_path) for stage in stages if not stage.has_data}
    assert len(places) == (0 if name == "demo.yaml" else 3)
    for place in link(apply_options(stages, places, tmp_path), tmp_path):
        assert place.stage.has_data
        resolve(place.fit.options, place.stage.title)


def test_a_configuration_builds_on_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its base is found beside it, or among the shipped ones, from any working folder."""
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "mine.yaml").write_text("base: middle.yaml\ntrainer: {max_epochs: 3}\n")
    (folder / "middle.yaml").write_text(
        "base: ckplus.yaml\ntrainer: {max_epochs: 5, precision: bf16-mixed}\ndata: data.yaml\n"
    )
    init_args = "init_args: {folds: 4, database: ckplus}"
    (folder / "data.yaml").write_text(f"class_path: ferlit.data.TupleDataModule\n{init_args}\n")
    monkeypatch.chdir(tmp_path)
    found = resolve(["--config", str(folder / "mine.yaml"), "--trainer.devices=1"], "it")
    assert found["data"]["init_args"]["folds"] == 4
    expected = resolve(
        [
            "--config=ckplus.yaml",
            "--trainer.precision=bf16-mixed",
            "--trainer.max_epochs=3",
            "--data.folds=4",
            "--trainer.devices=1",
        ],
        "it",
    )
    assert found == expected


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("mine.yaml", "mine.yaml: it builds on itself"),
        ("../configs/mine.yaml", "mine.yaml: it builds on itself"),
        ("nowhere.yaml", r"mine.yaml, base: no configuration nowhere.yaml"),
        ("[a.yaml, b.yaml]", r"mine.yaml, base: \['a.yaml', 'b.yaml'\] is not the name of a file"),
        ("null", "mine.yaml, base: None is not the name of a file"),
    ],
)
def test_a_base_that_is_none_is_told_by_the_file_that_asks(
    tmp_path: Path, base: str, message: str
) -> None:
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "mine.yaml").write_text(f"base: {base}\ntrainer: {{max_epochs: 3}}\n")
    with pytest.raises(FerlitError, match=message):
        resolve([f"--config={folder / 'mine.yaml'}"], "it")
