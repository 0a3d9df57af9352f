"""``ferlit evaluate --prior``, on a network whose answer can be worked out by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from ferlit.cli import main
from ferlit.data.store import Store
from tests.ferlit.inference.small import write_checkpoint


@pytest.fixture
def constant(tmp_path: Path) -> Path:
    """Gives every face anger 0.6 and fear 0.4, of a training with 3 faces of anger to 1 of fear."""
    path = write_checkpoint(tmp_path / "constant.ckpt", classes=["angry", "fear"])
    content = torch.load(path, weights_only=True)
    last = [name for name in content["state_dict"] if name.endswith("weight")][-1]
    content["state_dict"][last].zero_()
    bias = content["state_dict"][last.removesuffix("weight") + "bias"]
    bias.copy_(torch.tensor([math.log(0.6), math.log(0.4)]))
    torch.save({**content, "prior": [0.75, 0.25]}, path)
    return path


def evaluate(model: Path, store: Store, output: Path, *more: str) -> dict[str, Any]:
    command = ["evaluate", f"--model={model}", f"--store={store.folder}", f"--output={output}"]
    assert main([*command, "--bootstrap=0", *more]) == 0
    says: dict[str, Any] = json.loads((output / "evaluation.json").read_text())
    return says


def test_probabilities_are_multiplied_by_the_ratios_of_the_shares(
    constant: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = store.records["expression"].value_counts()
    anger, fear = int(counts["anger"]), int(counts["fear"])
    plain = evaluate(constant, store, tmp_path / "plain")
    (before,) = plain["stores"]
    assert plain["prior"] == {"expected": "training", "ratios": None}
    assert before["image"]["correct"] == anger
    capsys.readouterr()

    # 0.6 x 0.5/0.75 = 0.4 and 0.4 x 0.5/0.25 = 0.8: one third, two thirds.
    even = evaluate(constant, store, tmp_path / "even", "--prior=uniform")
    (after,) = even["stores"]
    assert even["prior"]["expected"] == "uniform"
    assert even["prior"]["ratios"] == pytest.approx({"angry": 2 / 3, "fear": 2})
    assert after["image"]["correct"] == fear
    assert after["image"]["total"] == anger + fear
    table = pd.read_csv(tmp_path / "even" / "stores" / "ckplus" / "predictions.csv")
    assert table[["angry", "fear"]].iloc[0].tolist() == pytest.approx([1 / 3, 2 / 3], abs=1e-6)
    assert set(table["predicted"]) == {"fear"}
    error = abs(2 / 3 - fear / (anger + fear))
    found = after["calibration"]["expected_calibration_error"]
    assert found == pytest.approx(error, abs=1e-6)
    note = "--prior uniform: probabilities multiplied by angry 0.667, fear 2"
    assert f"- {note}" in capsys.readouterr().out
    assert note in after["notes"]

    # 9 to 1: 0.6 x 0.9/0.75 = 0.72 and 0.4 x 0.1/0.25 = 0.16.
    (shares,) = evaluate(constant, store, tmp_path / "shares", "--prior=angry=9,fear=1")["stores"]
    assert shares["image"]["correct"] == anger
    sure = next(bin_ for bin_ in shares["calibration"]["bins"] if bin_["answers"])
    assert sure["mean_confidence"] == pytest.approx(0.72 / 0.88, abs=1e-6)


def test_another_prior_is_another_evaluation(
    constant: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    evaluate(constant, store, output, "--prior=angry=1")
    command = ["evaluate", f"--model={constant}", f"--store={store.folder}", f"--output={output}"]
    assert main([*command, "--bootstrap=0", "--prior=fear=1"]) == 2
    assert "settings.prior: angry=1.0 there, fear=1.0 now" in capsys.readouterr().err


def test_a_folder_of_an_earlier_version_had_the_prior_of_the_training(
    constant: Path, store: Store, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    says = evaluate(constant, store, output)
    del says["asked"]["settings"]["prior"]
    (output / "evaluation.json").write_text(json.dumps(says))
    evaluate(constant, store, output)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("often", "--prior often: training, uniform, or shares"),
        ("joy=1", "the model does not know joy; it knows angry, fear"),
        ("angry=-1", "shares of 0 or more"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused(
    constant: Path, store: Store, prior: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", f"--model={constant}", f"--store={store.folder}", f"--prior={prior}"]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
