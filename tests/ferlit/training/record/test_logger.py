from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ferlit.errors import FerlitError
from ferlit.training.record.logger import RunLogger
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
    table = (log_epochs(tmp_path / "short", *range(kept + 1)) / "metrics.csv").read_text()
    run = log_epochs(tmp_path, 0, 1, 2)
    first = next(run.glob("events*"))
    first.rename(run / "events.out.first")  # the names count seconds
    RunLogger(tmp_path, "run", run.name).restore(table)
    assert log_epochs(tmp_path, kept + 1, version=run.name) == run
    assert (run / "metrics.csv").read_text() == (
        log_epochs(tmp_path / "whole", *range(kept + 2)) / "metrics.csv"
    ).read_text()
    (second,) = set(run.glob("events*")) - {run / "events.out.first"}
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


def test_what_a_killed_run_had_not_logged_is_logged_when_it_goes_on(tmp_path: Path) -> None:
    whole = log_epochs(tmp_path / "whole", 0, 1, 2)
    table = (whole / "metrics.csv").read_text()
    run = log_epochs(tmp_path, 0, 1)
    next(run.glob("events*")).rename(run / "events.out.first")
    with (run / "metrics.csv").open("a") as file:
        file.write("2,0.2")  # torn
    logger = RunLogger(tmp_path, "run", run.name)
    logger.restore(table)
    logger.finalize("success")
    assert (run / "metrics.csv").read_text() == table
    (second,) = set(run.glob("events*")) - {run / "events.out.first"}
    steps = {event.step for event in tensorboard_events(second) if event.HasField("summary")}
    assert steps == {29}


def test_a_run_that_only_looks_leaves_the_table_alone(tmp_path: Path) -> None:
    run = log_epochs(tmp_path, 0, 1)
    before = (run / "metrics.csv").stat()
    logger = RunLogger(tmp_path, "run", run.name)
    logger.log_hyperparams({})
    logger.finalize("success")
    assert (run / "metrics.csv").stat() == before


def test_rows_of_before_stay_when_a_new_column_comes(tmp_path: Path) -> None:
    run = log_epochs(tmp_path, 0)
    logger = RunLogger(tmp_path, "run", run.name)
    logger.log_metrics({"a/new": 0.25}, 19)
    logger.save()
    assert (run / "metrics.csv").read_bytes() == (
        b"a/new,epoch,step,val/accuracy\r\n,0,9,0.0\r\n0.25,,19,\r\n"
    )


def test_a_full_disk_is_told_by_the_name_of_the_table(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path, "run", tensorboard=False)
    Path(logger.log_dir, "metrics.csv").symlink_to("/dev/full")
    logger.log_metrics({"loss": 1.0}, 0)
    with pytest.raises(FerlitError, match=r"metrics\.csv: it cannot be written \(No space left"):
        logger.save()
