"""Preparations by several real processes, and what may happen to them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ferlit.data.databases import DATABASES
from ferlit.data.faces.detection import Found
from ferlit.data.faces.maker import FaceMaker
from ferlit.data.faces.registration import canonical_landmarks
from ferlit.data.preparation import parts, prepare_store, workers
from ferlit.data.preparation.parts import Outcome, join_parts, make_parts
from ferlit.data.preparation.workers import useful_workers
from ferlit.data.store import Store
from ferlit.errors import FerlitError

CKPLUS = DATABASES["ckplus"]
DARK = 90  # the mean of a picture that a `Reckless` detector cannot stand
# The workers import it too, and read as slowly: there must be time to stop them.
SCRIPT = """
import sys, time
from ferlit.cli import main
from ferlit.data.faces import maker
from ferlit.data.preparation import parts, workers

read_image = maker.read_image

def read_slowly(*arguments):
    time.sleep(0.03)
    return read_image(*arguments)

maker.read_image = read_slowly

if __name__ == "__main__":
    parts._PART, parts._CHUNK, workers._LEAST_SHARE = 16, 4, 16
    sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Reckless:
    """Finds a face in the middle of bright pictures, and comes to grief on a dark one."""

    end: str

    def __call__(self, picture: NDArray[np.uint8]) -> list[Found]:
        if picture.mean() < DARK:
            if self.end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("a bug")
        return [Found(canonical_landmarks(), float(cv2.getNumThreads()), (0, 0, 60, 60))]


def pictures(root: Path, count: int, *dark: int) -> pd.DataFrame:
    root.mkdir()
    for number in range(count):
        grey = 10 if number in dark else 100 + number
        stripes = np.tile(np.array([grey, grey + 16], np.uint8), (60, 30))
        cv2.imwrite(str(root / f"{number:03d}.png"), stripes)
    names = [f"{number:03d}.png" for number in range(count)]
    return pd.DataFrame({"image": names, "landmarks": ""})


@pytest.fixture
def many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes for a few pictures, in small parts."""
    monkeypatch.setattr(parts, "_PART", 8)
    monkeypatch.setattr(parts, "_CHUNK", 3)
    monkeypatch.setattr(workers, "_LEAST_SHARE", 2)


def test_few_images_and_the_rows_of_a_csv_file_stay_in_the_main_process() -> None:
    assert useful_workers(["a.png"] * 511, "database", 2) == 1
    assert useful_workers(["a.png"] * 512, "database", 2) == 2
    rows = [f"fer2013.csv#{row}" for row in range(9_000)]
    assert useful_workers(rows, "none", 2) == 1
    assert useful_workers(rows, "mediapipe", 2) == 2
    assert useful_workers([], "none") == 1


def test_two_processes_make_the_store_that_one_makes(
    tree: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_LEAST_SHARE", 50)
    again = prepare_store(CKPLUS, tree, tmp_path / "store", workers=2, progress=False)
    assert again.description == store.description
    pd.testing.assert_frame_equal(again.records, store.records)
    np.testing.assert_array_equal(again.faces, store.faces)


@pytest.mark.usefixtures("many_workers")
def test_an_error_in_a_worker_is_raised_and_finished_parts_stay(tmp_path: Path) -> None:
    records = pictures(tmp_path / "root", 30, 20)
    make = FaceMaker(tmp_path / "root", "mediapipe", Reckless("error"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        make_parts(records, make, tmp_path, workers=2, progress=False)
    assert sorted(path.name for path in tmp_path.glob("part-*")) == [
        "part-000000.npz",
        "part-000001.npz",
    ]


@pytest.mark.usefixtures("many_workers")
def test_a_worker_that_the_system_kills_is_told_and_finished_parts_serve_again(
    tmp_path: Path,
) -> None:
    records = pictures(tmp_path / "root", 40, 39)
    make = FaceMaker(tmp_path / "root", "mediapipe", Reckless("killed"))
    with pytest.raises(FerlitError, match=r"fewer --workers need less.*with --resume"):
        make_parts(records, make, tmp_path, workers=2, progress=False)
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("part-*.npz")}
    assert finished
    pictures(tmp_path / "bright", 40)
    make = FaceMaker(tmp_path / "bright", "mediapipe", Reckless("killed"))
    outcome = make_parts(records, make, tmp_path, workers=2, progress=False)
    assert outcome == Outcome({}, {})
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    join_parts(tmp_path, tmp_path / "faces.npy", 40)
    middles = np.load(tmp_path / "faces.npy")[:, 30, 30]
    np.testing.assert_array_equal(middles, 100 + np.arange(40))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to a group of processes")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_a_preparation_that_is_stopped_leaves_no_process_and_goes_on(
    kind: signal.Signals, tree: Path, store: Store, tmp_path: Path
) -> None:
    """Ctrl-C goes to all processes of a terminal; a kill to the main process alone."""
    (tmp_path / "script.py").write_text(SCRIPT)
    output = tmp_path / "store"
    command = [sys.executable, str(tmp_path / "script.py"), "prepare", "--database", "ckplus"]
    command += ["--root", str(tree), "--output", str(output), "--workers", "2"]
    main = subprocess.Popen(
        command,
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # A suite that runs in the background ignores SIGINT, and its children would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    first = output.with_name("store.partial") / "part-000000.npz"
    while main.poll() is None and not first.exists():
        time.sleep(0.005)
    if kind == signal.SIGINT:
        os.killpg(main.pid, kind)
    else:
        main.kill()
    _, errors = main.communicate(timeout=60)
    for _ in range(1000):
        if not is_running(main.pid):
            break
        time.sleep(0.01)
    assert not is_running(main.pid)
    assert not output.exists()
    finished = sorted(first.parent.glob("part-*.npz"))
    assert 0 < len(finished) < len(store.records) // 16
    if kind == signal.SIGINT:
        assert main.returncode == 130
        assert b"Traceback" not in errors
        assert errors.decode().rstrip().endswith("--resume")
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert f"{len(store.records)} prepared" in " ".join(done.stdout.split())
    np.testing.assert_array_equal(Store.open(output).faces, store.faces)


def is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
