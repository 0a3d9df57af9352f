"""What a computation runs on and with: packages, machine, source revision."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "ferlit",
    "nmloss",
    "torch",
    "lightning",
    "torchmetrics",
    "pytorch-metric-learning",
    "numpy",
    "pandas",
    "scikit-learn",
    "albumentations",
    "opencv-python-headless",
    "pillow",
    "jsonargparse",
    "wandb",
)
# Variables that change results or speed. Named one by one: others may hold secrets.
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "PYTORCH_CUDA_ALLOC_CONF",
    "NCCL_P2P_DISABLE",
    "PYTHONHASHSEED",
    "WORLD_SIZE",
    "SLURM_JOB_ID",
)


def describe_environment() -> dict[str, Any]:
    """Versions, machine, variables and the revision of the source, ready for JSON.

    >>> sorted(describe_environment())
    ['cuda', 'git', 'machine', 'packages', 'platform', 'python', 'threads', 'variables']
    """
    return {
        "packages": {name: package_version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": processor(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "git": {"ferlit": source_revision(), "folder": git_revision(Path.cwd())},
    }


def package_version(name: str) -> str | None:
    """The version of an installed package, or None.

    >>> package_version("no-such-package") is None
    True
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def device_names(device: torch.device, count: int) -> list[str]:
    """The devices that a process computes on, one name each.

    >>> device_names(torch.device("cpu"), 2)[0].startswith("cpu: ")
    True
    """
    if device.type == "cuda":
        return [
            f"cuda:{number}: {torch.cuda.get_device_name(number)}"
            for number in range(torch.cuda.device_count())
        ][:count]
    return [f"{device.type}: {processor()}"] * count


def source_revision() -> dict[str, Any] | None:
    """The revision of the repository that ferlit is imported from, None for an installed copy."""
    folder = Path(__file__).parent
    # An environment may lie in a repository that is somebody else's.
    is_tracked = _git(folder, "ls-files", "--error-unmatch", Path(__file__).name) is not None
    return git_revision(folder) if is_tracked else None


def git_revision(folder: Path) -> dict[str, Any] | None:
    """The revision of the repository that a folder lies in, and whether files differ from it.

    Returns:
        ``{"revision": ..., "is_dirty": ...}``; None outside a repository or without git.
    """
    revision = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain")
    if revision is None or status is None:
        return None
    return {"revision": revision, "is_dirty": bool(status)}


def _git(folder: Path, *options: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *options],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
