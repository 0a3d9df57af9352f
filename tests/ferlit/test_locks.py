import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ferlit.locks import owned

HOLD = """
import sys, time
from pathlib import Path
from ferlit.locks import owned
with owned(Path(sys.argv[1]), "making it"):
    print("mine", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


def test_the_second_waits_and_says_for_whom(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = holder(tmp_path / "store", 2.5)
    with owned(tmp_path / "store", "reading it") as has_waited:
        assert has_waited
        process.wait(10)
    assert f"waiting for process {process.pid}" in caplog.text
    assert "making it since" in caplog.text


def test_a_dead_owners_lock_is_taken_over(tmp_path: Path) -> None:
    process = holder(tmp_path / "store", 60)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    with owned(tmp_path / "store", "making it") as has_waited:
        assert not has_waited
