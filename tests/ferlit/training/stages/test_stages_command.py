"""``ferlit stages`` as a user types it, on tiny networks and synthetic people."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ferlit.cli import main
from ferlit.configurations import find_config
from ferlit.data.store import Store
from ferlit.errors import FerlitError
from ferlit.options import without_option
from ferlit.training.fit.options import resolve
from ferlit.training.stages.command import changed_settings, link, put_aside
from ferlit.training.stages.plan import read_plan

ROOT = Path(__file__).parents[4]
FIRST, SECOND = "1_first", "2_second"
CONFIG = {
    "model": {
        "class_path": "ferlit.training.ExpressionModule",
        "init_args": {
            "backbone": {"class_path": "tests.ferlit.tiny.TinyBackbone"},
            "branches": {
                "class_path": "ferlit.models.OneBranch",
                "init_args": {"hidden": [64, 32]},
            },
        },
    },
    "data": {
        "class_path": "ferlit.data.ExpressionDataModule",
        "init_args": {"fold": 0, "folds": 4, "num_workers": 0},
    },
    "trainer": {"max_epochs": 2, "accelerator": "cpu"},
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two stages; the second has two branches, does not learn, and waits once."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "softmax.yaml").write_text(yaml.safe_dump(CONFIG))
    wait = {"class_path": "tests.ferlit.training.waiting.WaitOnce"}
    stages = [
        {"name": "first", "config": str(folder / "softmax.yaml")},
        {
            "name": "second",
            "config": [str(folder / "softmax.yaml"), "systems/2b_nm.yaml"],
            "options": {
                "data": "ferlit.data.TupleDataModule",
                "data.tuples_per_batch": 6,
                "model.optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0}},
                "trainer.max_epochs": 3,
                "trainer.callbacks": [wait | {"init_args": {"mark": "{output}/waited"}}],
            },
        },
    ]
    path = folder / "stages.yaml"
    path.write_text(yaml.safe_dump({"stages": stages}))
    return path


def options(plan: Path, output: Path, *more: str) -> list[str]:
    return ["stages", f"--config={plan}", f"--output={output}", *more]


class Interrupted:
    """A chain that was interrupted in the second epoch of its second stage."""

    def __init__(self, plan: Path, store: Path, output: Path) -> None:
        self.output = output
        self.options = options(plan, output, f"--data.store={store}")
        running = subprocess.Popen(
            [sys.executable, "-m", "ferlit", *self.options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(["nmloss/src", "."])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that runs in the background ignores SIGINT, and its children would as well.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 600  # seven times what it takes alone
        while not (output / "waited").exists() and time.monotonic() < deadline:
            assert running.poll() is None, running.communicate()
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)  # to the chain alone: it must pass it on
        self.printed, self.errors = running.communicate(timeout=90)
        self.code = running.returncode
        self.first_run = (output / FIRST / "run.json").read_text()


@pytest.fixture(scope="module")
def chain(plan: Path, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    return Interrupted(plan, store.folder, tmp_path_factory.mktemp("chain") / "stages")


def test_an_interrupted_chain_ends_its_fit_and_says_how_to_go_on(chain: Interrupted) -> None:
    assert chain.code == 130
    assert f"interrupted; to go on:\n  ferlit {shlex.join(chain.options)}" in chain.errors
    assert "interrupted; to go on:" in (chain.output / SECOND / "fit.log").read_text()
    assert "finished" in json.loads(chain.first_run)


def test_epochs_and_what_became_of_the_weights_are_shown(chain: Interrupted) -> None:
    lines = [line.strip() for line in chain.printed.splitlines()]
    assert [line for line in lines if line.startswith("stage ")] == [
        f"stage 1 of 2, first: {chain.output / FIRST / 'fit.log'}",
        f"stage 2 of 2, second: {chain.output / SECOND / 'fit.log'}",
    ]
    epochs = [line.split()[1] for line in lines if line.startswith("epoch ")]
    assert epochs == ["1/2", "2/2", "1/3"]
    begin = lines.index(f"weights from {chain.output / FIRST / 'checkpoints' / 'best.ckpt'}")
    assert [line.split(":")[0] for line in lines[begin + 1 : begin + 4]] == ["taken", "new", "left"]


def test_a_chain_with_other_settings_is_refused(
    chain: Interrupted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*chain.options, "--stage.second.trainer.max_epochs=9"]) == 1
    told = capsys.readouterr().err
    assert f"{chain.output / SECOND} was begun with other settings" in told
    assert "trainer.max_epochs: 3 -> 9" in told
    assert "--restart second" in told


def test_the_same_command_goes_on_where_the_chain_stopped(
    chain: Interrupted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(chain.options) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "stage 1 of 2, first: finished already" in lines
    assert (chain.output / FIRST / "run.json").read_text() == chain.first_run
    assert [line.split()[1] for line in lines if line.startswith("epoch ")] == ["2/3", "3/3"]
    assert any(line.startswith("network of the last stage: ") for line in lines)
    first, second = (
        torch.load(chain.output / title / "checkpoints" / "best.ckpt", weights_only=True)
        for title in (FIRST, SECOND)
    )
    # The second stage has a learning rate of nothing: it keeps what it started with.
    weights, kept = first["state_dict"], second["state_dict"]
    assert {"backbone.2.weight", "branches.classification.logits.weight"} <= weights.keys()
    assert len(kept) > len(weights)
    for name, value in weights.items():
        if "running_" not in name and "num_batches" not in name:
            assert torch.equal(value, kept[name]), name


def test_a_restart_puts_a_stage_and_those_after_it_aside(plan: Path, tmp_path: Path) -> None:
    chain = link(read_plan(plan), tmp_path)
    for _ in range(2):
        (tmp_path / FIRST).mkdir(exist_ok=True)
        (tmp_path / SECOND).mkdir()
        put_aside(chain, "second")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {FIRST, f"{SECOND}.old1", f"{SECOND}.old2"}
    options = ["--restart", "a", "--restart=b", "--skip", "c"]
    assert without_option(options, "--restart") == ["--skip", "c"]


def test_a_stage_left_out_hands_the_weights_of_the_one_before_on(tmp_path: Path) -> None:
    stages = read_plan(find_config("stages/ckplus.yaml"))
    chain = link([stages[0], stages[2]], tmp_path)
    assert [place.fit.run.path.name for place in chain] == ["1_fer2013", "3_ckplus"]
    before = tmp_path / "1_fer2013" / "checkpoints" / "best.ckpt"
    assert f"--model.init_from={before}" in chain[1].fit.options


def test_all_missing_data_are_told_before_anything_runs(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(options(plan, output)) == 2
    told = capsys.readouterr().err
    assert "first: --roots.first DIR (or leave it out: --skip first)" in told
    assert "second: --roots.second DIR (or leave it out: --skip second)" in told
    assert not output.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--roots.third=."], "there is no stage 'third'; known are first, second"),
        (["--skip=third"], "there is no stage 'third'"),
        (["--restart=third"], "there is no stage 'third'"),
        (["--roots.first=nowhere"], "--roots.first nowhere: there is no such folder"),
        (["--stage.first=3"], "expected --roots.NAME DIR or --stage.NAME.OPTION VALUE"),
        (["--data.store"], "--data.store needs a value"),
        (["--scip", "first"], "unknown option --scip"),
        (["--skip=first", "--skip=second"], "--skip leaves no stage"),
        (["--data.store=.", "--stage.second.trainer.no_such=3"], "stage second: unrec"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    plan: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(options(plan, output, *more)) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_failed_stage_stops_the_chain_with_the_end_of_its_log(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(plan, tmp_path / "out", f"--data.store={tmp_path}", "--skip=second")) == 1
    told = capsys.readouterr().err
    assert "stage 1 of 1, first failed (exit code 1)" in told
    assert f"{tmp_path}: no prepared store" in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("stage: []", "expected the one key stages"),
        ("stages: []", "expected the one key stages"),
        ("stages: [{name: a}]", "stage 1 needs the keys name and config"),
        ("stages: [{name: a, config: b, option: {}}]", "it has config, name, option"),
        ("stages: [{name: a.b, config: c}]", "the name 'a.b' of stage 1"),
        ("stages: [{name: a, config: c}, {name: a, config: c}]", "two stages are called a"),
        ("stages: [{name: a, config: c, options: [1]}]", "are no mapping"),
        ("- 1", "expected a mapping, found list"),
        ("a: [", "not a YAML file"),
    ],
)
def test_a_file_that_is_no_plan_says_what_is_wrong(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(content)
    with pytest.raises(FerlitError, match=message):
        read_plan(path)


def flat(content: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in content.items():
        is_inner = isinstance(value, dict) and value
        found |= flat(value, f"{above}{name}.") if is_inner else {f"{above}{name}": value}
    return found


@pytest.mark.parametrize("system", ["softmax", "1b_n1", "1b_nm", "2b_n1", "2b_nm"])
def test_a_chain_that_an_earlier_version_began_goes_on(system: str) -> None:
    """It kept the options of all configurations; a later one may name another class."""
    names = ["ckplus.yaml", f"systems/{system}.yaml"]
    kept: dict[str, Any] = {}
    for name in names:
        kept |= flat(yaml.safe_load(find_config(name).read_text()))
    for more, expected in ([], []), (["--data.folds=4"], ["data.folds: 8 -> 4"]):
        now = resolve([*(f"--config={name}" for name in names), *more], "now")
        assert changed_settings(kept, now, "stages.json") == expected
