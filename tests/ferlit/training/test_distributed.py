import logging
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.errors import UsageError
from ferlit.training.distributed import check_launch, quiet_other_processes
from ferlit.training.fit.trainer import RunTrainer
from tests.ferlit.training.fits import fit_options

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


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of one task, as srun starts it."""
    for name, value in {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "1",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
    }.items():
        monkeypatch.setenv(name, value)


def environment_of(trainer: Trainer) -> object:
    return trainer._accelerator_connector.cluster_environment


@pytest.mark.usefixtures("slurm")
def test_slurm_restarts_nothing_by_itself() -> None:
    environment = environment_of(RunTrainer(accelerator="cpu", logger=False))
    assert isinstance(environment, SLURMEnvironment)
    assert not environment.auto_requeue
    own = SLURMEnvironment(auto_requeue=True)
    chosen = RunTrainer(accelerator="cpu", logger=False, plugins=[own])
    assert environment_of(chosen) is own


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize("command", ["fit", "test"])
def test_a_checkpoint_of_another_job_is_not_loaded_in_silence(
    command: str,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = tmp_path / "runs"
    options = fit_options(store.folder, runs, "--trainer.max_epochs=1")
    monkeypatch.chdir(tmp_path)
    assert main(options) == 0
    run = runs / "ckplus" / "version_0"
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    capsys.readouterr()
    assert main(options if command == "fit" else ["test", str(run)]) == 1
    assert "hpc_ckpt_1.ckpt: a checkpoint of a job that SLURM stopped" in capsys.readouterr().err
    assert [folder.name for folder in (runs / "ckplus").iterdir()] == ["version_0"]
