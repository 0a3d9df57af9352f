"""Processes that do the same thing at the same time."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_at_once(code: str, *arguments: list[object], **environment: str) -> list[tuple[int, str]]:
    """Run Python code in a process for each list of arguments.

    Returns:
        The exit code and what was written of each.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, given)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        for given in arguments
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, outputs, strict=True)]
