import json
from pathlib import Path

import pytest
import torch
import yaml

from ferlit.data.store import Store
from ferlit.training.fit import trainer
from ferlit.training.fit.options import resolve
from ferlit.training.fit.trainer import RunTrainer, chosen_precision
from tests.ferlit.training.fits import command, run_command


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bf16-mixed"),
        ({"avx512_f": True, "avx512_bf16": False}, "32-true"),
        ({}, "32-true"),
    ],
)
def test_a_processor_computes_in_bfloat16_where_it_has_instructions_for_it(
    instructions: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)
    assert chosen_precision("cpu") == expected
    assert RunTrainer(accelerator="cpu", precision="auto", logger=False).precision == expected


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "bf16-mixed"), ((7, 5), "32-true")])
def test_a_graphics_card_by_its_capability(
    capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert [chosen_precision(name) for name in ("auto", "gpu", "cuda")] == [expected] * 3


def test_settings_say_what_auto_was(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--config=fer2013.yaml", "--trainer.accelerator=cpu", "--trainer.precision=auto"]
    for native, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(trainer, "_has_bfloat16", lambda native=native: native)
        assert resolve(options, "it")["trainer"]["precision"] == expected
    assert resolve(options[:-1], "it")["trainer"]["precision"] is None


def test_a_fit_records_the_precision_that_the_machine_chose(store: Store, tmp_path: Path) -> None:
    options = ["--trainer.precision=auto", "--trainer.max_epochs=1"]
    done = run_command(command(store, tmp_path, *options))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "ckplus" / "version_0"
    chosen = chosen_precision("cpu")
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["precision"] == chosen
    assert json.loads((run / "run.json").read_text())["precision"] == chosen
