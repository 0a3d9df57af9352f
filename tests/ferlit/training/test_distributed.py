import logging

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from ferlit.errors import UsageError
from ferlit.training.distributed import check_launch, quiet_other_processes

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_WORLD_SIZE": "2",
}


def trainer(**options: object) -> Trainer:
    return Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, **options)  # type: ignore[arg-type]


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the first of two times two processes."""
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


def test_more_processes_than_the_trainer_counts_are_refused(torchrun: None) -> None:
    with pytest.raises(UsageError, match=r"started 4 .* counts 1; give --trainer\.devices=2"):
        check_launch(trainer(devices=1))


def test_as_many_processes_as_the_trainer_counts_are_fine(torchrun: None) -> None:
    check_launch(trainer(devices=2, num_nodes=2, strategy="ddp"))


def test_without_torchrun_nothing_is_checked() -> None:
    check_launch(trainer(devices=1))


@pytest.mark.parametrize(("rank", "level"), [(0, logging.INFO), (1, logging.WARNING)])
def test_other_processes_only_warn(rank: int, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("ferlit")
    before = logger.level
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    logger.setLevel(logging.INFO)
    quiet_other_processes()
    assert logger.level == level
    logger.setLevel(before)
