from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ferlit.training.record.logger import RunLogger, forget_after
from tests.ferlit.at_once import run_at_once
from tests.ferlit.training.record_files import tensorboard_events


def log_epochs(folder: Path, *epochs: int, version: str | None = None, **options: Any) -> Path:
    """Log 10 steps an epoch; the run's folder."""
    logger = RunLogger(folder, "run", version, **options)
    for epoch in epochs:
        step = 10 * epoch + 9
        logger.log_metrics({"epoch": epoch, "val/accuracy": epoch / 8}, step)
    logger.save()
    logger.finalize("success")
    return Path(logger.log_dir)


def events(run: Path) -> list[Any]:
    return [event for path in sorted(run.glob("events*")) for event in tensorboard_events(path)]


def test_the_same_numbers_go_into_the_table_and_to_tensorboard(tmp_path: Path) -> None:
    run = log_epochs(tmp_path, 0, 1)
    table = pd.read_csv(run / "metrics.csv")
    found = {
        (event.step, value.tag): value.simple_value
        for event in events(run)
        for value in event.summary.value
    }
    assert found == {
        (row["step"], name): row[name]
        for _, row in table.iterrows()
        for name in ("epoch", "val/accuracy")
    }


def test_tensorboard_can_be_left_out(tmp_path: Path) -> None:
    run = log_epochs(tmp_path, 0, tensorboard=False)
    assert [path.name for path in run.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize("kept", [0, 1])
def test_a_resumed_run_replaces_what_came_after_its_checkpoint(tmp_path: Path, kept: int) -> None:
    run = log_epochs(tmp_path, 0, 1, 2)
    first = next(run.glob("events*"))
    first.rename(run / "events.first")  # the names count seconds
    forget_after(run, kept)
    assert log_epochs(tmp_path, kept + 1, version=run.name) == run
    table = pd.read_csv(run / "metrics.csv")
    assert table["epoch"].tolist() == list(range(kept + 2))
    (second,) = set(run.glob("events*")) - {run / "events.first"}
    starts = [event.step for event in tensorboard_events(second) if event.HasField("session_log")]
    assert starts == [10 * kept + 10]  # TensorBoard drops earlier events from this step on


LOG = """
import sys, time
from pathlib import Path
from ferlit.training.record.logger import RunLogger

folder, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
(folder / f"ready_{number}").touch()
while len(list(folder.glob("ready_*"))) < count:
    time.sleep(0.001)
logger = RunLogger(folder, "run")
logger.log_metrics({"epoch": 0, "val/accuracy": number}, 9)
logger.finalize("success")
print(logger.log_dir)
"""


def test_runs_that_start_at_once_have_a_number_each(tmp_path: Path) -> None:
    (tmp_path / "run" / "version_3").mkdir(parents=True)
    results = run_at_once(LOG, *[[tmp_path, k, 3] for k in range(3)])
    assert all(code == 0 for code, _ in results), results
    folders = [Path(text.splitlines()[-1]) for _, text in results]
    assert {folder.name for folder in folders} == {f"version_{k}" for k in range(4, 7)}
    for k, folder in enumerate(folders):
        assert pd.read_csv(folder / "metrics.csv")["val/accuracy"].tolist() == [k]
