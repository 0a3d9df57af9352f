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
    ("old", "is_taken"),
    [
        (["fear", "anger"], False),
        (["anger", "neutral"], False),
        (["anger", "fear"], True),
        (None, True),
    ],
)
def test_the_class_layer_is_new_where_the_classes_differ(
    tmp_path: Path, old: list[str] | None, is_taken: bool
) -> None:
    before, after = OneBranch(512, 2), OneBranch(512, 2)
    hyper_parameters = {} if old is None else {"classes": old}
    content = {"state_dict": before.state_dict(), "hyper_parameters": hyper_parameters}
    torch.save(content, tmp_path / "before.ckpt")
    report = load_matching_weights(after, tmp_path / "before.ckpt", ["anger", "fear"])
    weight = "classification.logits.weight"
    assert (weight in report.taken) == is_taken
    assert torch.equal(before.state_dict()[weight], after.state_dict()[weight]) == is_taken
    assert is_taken or f"its classes are {', '.join(old or [])}" in report.summary()


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
