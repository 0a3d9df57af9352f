"""Every Python block of the READMEs runs as it stands; those of ferlit in tests/ferlit."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("README.md", "nmloss/README.md")
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    )
    if "ferlit" not in block
]


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 4


@pytest.mark.parametrize("block", BLOCKS)
def test_the_block_runs(block: str, tmp_path: Path) -> None:
    if not block.startswith("# torchrun"):
        exec(compile(block, "README.md", "exec"), {})
        return
    script = tmp_path / "train.py"
    script.write_text(block)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run([*torchrun, "--nproc-per-node", "2", script], check=True, timeout=300)
