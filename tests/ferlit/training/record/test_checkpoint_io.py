"""A checkpoint is whole or the former one, on any file system, whatever happens to its writer."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ferlit.errors import FerlitError
from ferlit.training.record.checkpoint_io import WholeCheckpoints
from tests.ferlit.full_disk import largest_file

MIB = 2**20


def content(number: float, mib: float = 1.0) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((int(mib * MIB / 4),), number)}


def check_former(folder: Path) -> None:
    """The checkpoint of before is there, alone."""
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]
    assert torch.equal(torch.load(folder / "last.ckpt")["weight"], content(1.0)["weight"])


def test_a_disk_that_fills_up_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(content(1.0), path)
    told = r"last\.ckpt: the checkpoint cannot be written \(the one before it is still there\)"
    with largest_file(2 * MIB), pytest.raises(FerlitError, match=told):
        WholeCheckpoints().save_checkpoint(content(2.0, 3), path)
    check_former(tmp_path)


def test_a_file_system_of_its_own_that_is_full_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user may not mount a file system ({error})")
    try:
        path = tmp_path / "last.ckpt"
        WholeCheckpoints().save_checkpoint(content(1.0), path)
        with pytest.raises(FerlitError, match="No space left on device; make room"):
            WholeCheckpoints().save_checkpoint(content(2.0, 2.5), path)
        check_former(tmp_path)
        WholeCheckpoints().save_checkpoint(content(3.0), path)
        assert torch.load(path)["weight"][0] == 3
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


class Interrupted:
    """A file whose writer gets a signal after a MiB."""

    def __init__(self, file: Any, sign: signal.Signals) -> None:
        self.file, self.written = file, 0
        self.sign: signal.Signals | None = sign

    def __enter__(self) -> "Interrupted":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, content: Any) -> int:
        self.written += len(content)
        if self.sign and self.written > MIB:
            sign, self.sign = self.sign, None
            signal.raise_signal(sign)
        return int(self.file.write(content))


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_a_write_is_that_signal(
    tmp_path: Path, sign: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    WholeCheckpoints().save_checkpoint(content(1.0), path)

    def end(*_: object) -> None:
        raise SIGTERMException

    before = signal.signal(signal.SIGTERM, end)
    # A suite in the background ignores it.
    before_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    expected = KeyboardInterrupt if sign == signal.SIGINT else SIGTERMException
    opened = Path.open

    def open_slow(self: Path, *arguments: Any, **more: Any) -> Any:
        file = opened(self, *arguments, **more)
        return Interrupted(file, sign) if ".partial" in self.name else file

    monkeypatch.setattr(Path, "open", open_slow)
    try:
        with pytest.raises(expected):
            WholeCheckpoints().save_checkpoint(content(2.0, 3), path)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, before_interrupt)
    check_former(tmp_path)


WRITER = """
import sys, torch
from pathlib import Path
from ferlit.training.record.checkpoint_io import WholeCheckpoints
from tests.ferlit.full_disk import largest_file
from tests.ferlit.full_disk import largest_file
path = Path(sys.argv[1])
number = 0
while True:
    number += 1
    content = {"number": number, "weight": torch.full((2**20,), float(number))}
    WholeCheckpoints().save_checkpoint(content, path)
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [0.0, 0.004, 0.013])
def test_a_killed_writer_leaves_a_whole_checkpoint_and_no_more_than_its_draft(
    tmp_path: Path, after: float
) -> None:
    path = tmp_path / "last.ckpt"
    temporary = set(Path(gettempdir()).iterdir())
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    written = [1, *map(int, process.stdout.read().split())]
    found = torch.load(path)
    assert found["number"] in (written[-1], written[-1] + 1)
    assert (found["weight"] == found["number"]).all()
    assert {file.name for file in tmp_path.iterdir()} <= {"last.ckpt", ".last.partial.ckpt"}
    left = set(Path(gettempdir()).iterdir()) - temporary
    assert not any(file.is_file() and file.stat().st_size > MIB for file in left)
    (tmp_path / ".last.partial.ckpt").write_bytes(b"half")
    WholeCheckpoints().save_checkpoint(content(1.0), tmp_path / "best.ckpt")
    assert {file.name for file in tmp_path.iterdir()} == {"best.ckpt", "last.ckpt"}
