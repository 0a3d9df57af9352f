from pathlib import Path

import pytest
import torch

from ferlit.errors import FerlitError
from ferlit.models import OneBranch, TwoBranch
from ferlit.models.weights import load_matching_weights


def test_the_classification_branch_passes_from_one_stage_to_the_next(tmp_path: Path) -> None:
    stage_one, stage_two = OneBranch(512, 7), TwoBranch(512, 6)
    torch.save({"state_dict": stage_one.state_dict()}, tmp_path / "one.ckpt")
    before = stage_two.classification.logits.weight.clone()
    report = load_matching_weights(stage_two, tmp_path / "one.ckpt")
    for name, value in stage_one.classification.hidden.state_dict().items():
        assert torch.equal(value, stage_two.classification.hidden.state_dict()[name])
    assert torch.equal(stage_two.classification.logits.weight, before)
    assert set(report.left) == {"classification.logits.weight", "classification.logits.bias"}
    assert "(7, 1024) in the checkpoint, (6, 1024) here" in report.summary()
    assert any(name.startswith("metric.") for name in report.new)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such checkpoint"),
        (b"hello", "not a checkpoint"),
        ({"epoch": 3}, "no weights in it"),
        ({"encoder.weight": torch.zeros(3)}, "nothing in it fits this model; it has encoder"),
    ],
)
def test_a_useless_checkpoint_is_explained(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "some.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(FerlitError, match=message):
        load_matching_weights(OneBranch(512, 7), path)
