"""Settings of a run of an earlier version against those of today's configurations."""

from pathlib import Path
from typing import Any

import pytest

from ferlit.errors import FerlitError
from ferlit.training.fit.resuming import check_settings

TORCH = "torch.optim.lr_scheduler.CosineAnnealingLR"
OURS = "ferlit.training.CosineAnnealingLR"


def config(name: str, length: int | None, epochs: int) -> dict[str, Any]:
    schedule = {"class_path": name, "init_args": {"T_max": length, "eta_min": 0.0}}
    return {
        "model": {"class_path": "M", "init_args": {"lr_scheduler": schedule}},
        "trainer": {"max_epochs": epochs, "callbacks": None},
    }


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ((TORCH, 60, 60), (OURS, None, 60), ""),
        ((TORCH, 60, 60), (OURS, None, 70), ""),
        ((TORCH, 60, 60), (TORCH, 60, 70), ""),
        ((OURS, 60, 2), (OURS, 60, 3), ""),
        ((TORCH, 60, 30), (OURS, None, 30), "model.lr_scheduler.T_max: 60 there, None now"),
        ((TORCH, 60, 60), (TORCH, 30, 60), "model.lr_scheduler.T_max: 60 there, 30 now"),
    ],
)
def test_the_cosine_of_earlier_configurations_is_that_of_todays(
    old: tuple[str, int, int], new: tuple[str, int, int], refused: str
) -> None:
    before, now = config(*old), config(*new)
    if refused:
        with pytest.raises(FerlitError, match=refused):
            check_settings(Path("last.ckpt"), before, now, is_split_known=True)
    else:
        lines = check_settings(Path("last.ckpt"), before, now, is_split_known=True)
        assert len(lines) == (old[2] != new[2])


def test_callbacks_may_come_and_go_but_keep_their_arguments() -> None:
    def with_callback(**arguments: int) -> dict[str, Any]:
        found = config(OURS, None, 3)
        found["trainer"]["callbacks"] = [{"class_path": "EarlyStopping", "init_args": arguments}]
        return found

    none = config(OURS, None, 3)
    assert check_settings(Path("a"), none, with_callback(patience=3), is_split_known=True)
    with pytest.raises(FerlitError, match=r"callbacks\.EarlyStopping\.min_delta: 3 there, 9 now"):
        check_settings(
            Path("a"), with_callback(min_delta=3), with_callback(min_delta=9), is_split_known=True
        )
    told = check_settings(
        Path("a"), with_callback(patience=3), with_callback(patience=9), is_split_known=True
    )
    assert told[-1].endswith("EarlyStopping.patience: 3 there, 9 now")
