from pathlib import Path

import pytest
import yaml

from ferlit.cli import main
from ferlit.configurations import CONFIGS

EXPERIMENTS = sorted(path.name for path in CONFIGS.glob("*.yaml"))
SYSTEMS = sorted(path.name for path in (CONFIGS / "systems").glob("*.yaml"))


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--print_config", *options])
    assert stop.value.code in (0, None)
    config: dict[str, object] = yaml.safe_load(capsys.readouterr().out)
    return config


def test_the_promised_experiments_and_systems_are_there() -> None:
    assert {"demo.yaml", "fer2013.yaml", "ckplus.yaml", "ck48.yaml"} <= set(EXPERIMENTS)
    assert SYSTEMS == ["1b_n1.yaml", "1b_nm.yaml", "2b_n1.yaml", "2b_nm.yaml", "softmax.yaml"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_prints_its_whole_configuration(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = printed(capsys, "--config", name)
    assert {"model", "data", "trainer", "checkpoint", "seed_everything"} <= config.keys()
    assert config["trainer"]["logger"]["init_args"]["name"] == Path(name).stem  # type: ignore[index]


@pytest.mark.parametrize("system", SYSTEMS)
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
