"""The sweeps as an agent of W&B runs them: its own functions make the commands."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from ferlit.cli import main
from ferlit.configurations import CONFIGS
from ferlit.data.store import Store
from tests.ferlit.tiny import TINY
from tests.ferlit.training.fits import ROOT, environment

SWEEPS = sorted((CONFIGS / "sweeps").glob("*.yaml"))
# What keeps a run of a test short, beside the one step.
SHORT = (
    "--trainer.limit_train_batches=1",
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--data.num_workers=0",
    "--data.folds=8",
    *TINY,
)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def choices(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """The grid, or the two corners of a range."""
    values = [
        parameter.get("values") or [parameter["min"], parameter["max"]]
        for parameter in sweep["parameters"].values()
    ]
    combined = (
        itertools.product(*values) if sweep["method"] == "grid" else zip(*values, strict=True)
    )
    return [dict(zip(sweep["parameters"], chosen, strict=True)) for chosen in combined]


def commands(path: Path) -> list[list[str]]:
    """The command lines of a sweep, as `wandb.wandb_agent.Agent` puts them together."""
    sweep = read(path)
    lines = []
    for chosen in choices(sweep):
        arguments = {name: {"value": value} for name, value in chosen.items()}
        filled = create_sweep_command_args({"args": arguments})
        filled |= {"env": ["/usr/bin/env"], "program": [sweep["program"]]}
        line: list[str] = []
        for chunk in map(str, create_sweep_command(list(sweep["command"]))):
            is_macro = chunk.startswith("${") and chunk.endswith("}")
            line += filled[chunk[2:-1]] if is_macro else [chunk]
        lines.append(line)
    return lines


def printed(
    path: Path, store: Store, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    """The whole configurations that the commands stand for."""
    patch.setenv("FERLIT_STORE", str(store.folder))
    configurations = []
    for line in commands(path):
        assert line[:3] == ["/usr/bin/env", "ferlit", "fit"]
        with pytest.raises(SystemExit) as stop:
            main([*line[2:], "--print_config"])
        assert stop.value.code in (0, None)
        configurations.append(yaml.safe_load(capsys.readouterr().out))
    return configurations


def test_there_are_sweeps() -> None:
    assert [path.name for path in SWEEPS] == ["bayes_ckplus.yaml", "grid_systems.yaml"]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_no_sweep_chooses_by_a_test_metric(path: Path) -> None:
    metric = read(path)["metric"]
    assert metric == {"name": "val/accuracy", "goal": "maximize"}


def test_the_grid_has_every_system_on_every_fold() -> None:
    chosen = choices(read(CONFIGS / "sweeps" / "grid_systems.yaml"))
    systems = {f"systems/{path.name}" for path in (CONFIGS / "systems").glob("*.yaml")}
    pairs = [(values["config"], values["data.fold"]) for values in chosen]
    assert sorted(pairs) == sorted(itertools.product(systems, range(8)))


def test_the_grid_sets_system_and_fold(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = CONFIGS / "sweeps" / "grid_systems.yaml"
    for values, line in zip(choices(read(path)), commands(path), strict=True):
        assert line.index(f"--config={values['config']}") > line.index("--config=ckplus.yaml")
    each_system = commands(path)[::9]  # another fold each
    monkeypatch.setattr(sys.modules[__name__], "commands", lambda _: each_system)
    for number, config in enumerate(printed(path, store, monkeypatch, capsys)):
        assert config["data"]["init_args"]["fold"] == number
        loss = config["model"]["init_args"].get("metric_loss")
        assert (loss is None) == ("systems/softmax.yaml" in " ".join(each_system[number]))
        assert config["trainer"]["logger"]["class_path"] == "ferlit.training.WandbRunLogger"
        assert config["trainer"]["logger"]["init_args"]["name"] == "ckplus"


def test_the_search_sets_rate_alpha_threshold_and_margin(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = CONFIGS / "sweeps" / "bayes_ckplus.yaml"
    wanted = choices(read(path))
    found = printed(path, store, monkeypatch, capsys)
    for values, config in zip(wanted, found, strict=True):
        model = config["model"]["init_args"]
        loss = model["metric_loss"]
        assert loss["class_path"] == "nmloss.NMTupleClustersLoss"
        assert {
            "model.optimizer.lr": model["optimizer"]["init_args"]["lr"],
            "model.alpha": model["alpha"],
            "model.metric_loss.threshold": loss["init_args"]["threshold"],
            "model.metric_loss.margin": loss["init_args"]["margin"],
        } == values


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_command_of_the_sweep_runs(
    path: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FERLIT_STORE", str(store.folder))
    line = [*commands(path)[0], *SHORT, f"--trainer.logger.save_dir={tmp_path}"]
    variables = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "WANDB_MODE": "offline",
        "WANDB_DATA_DIR": str(tmp_path),
        "WANDB_SWEEP_ID": "sweep",
        "WANDB_RUN_ID": "agent-run",
    }
    done = subprocess.run(
        line,
        cwd=ROOT,
        env=environment() | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "ckplus" / "agent-run"
    assert (run / "metrics.json").is_file()
    assert [file.name for file in run.rglob("*.wandb")] == ["run-agent-run.wandb"]
