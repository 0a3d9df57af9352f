"""Several processes at once, each in a slot of its own: a GPU, or a share of the cores."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, TypeVar

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 20.0  # what an interrupted process has for its clean end

Process = subprocess.Popen[bytes]


class Task(Protocol):
    """What a slot runs."""

    def start(self, environment: Mapping[str, str]) -> Process: ...


T = TypeVar("T", bound=Task)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in named.split(",") if name.strip()]
    return (names or [str(number) for number in range(count)])[:count]


def make_slots(jobs: int, gpus: Sequence[str], cores: int) -> list[dict[str, str]]:
    """The variables of each slot: jobs take turns on the GPUs and share the cores.

    Args:
        jobs: How many processes run at once.
        gpus: See `visible_gpus`.
        cores: How many there are; ``OMP_NUM_THREADS``, where it is set, stays.

    >>> [slot["CUDA_VISIBLE_DEVICES"] for slot in make_slots(3, ["0", "1"], cores=8)]
    ['0', '1', '0']
    """
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // jobs))
    slots = [{"OMP_NUM_THREADS": threads} for _ in range(jobs)]
    if gpus:
        for number, slot in enumerate(slots):
            slot["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return slots


def run_pool(
    tasks: Iterable[T],
    slots: Sequence[Mapping[str, str]],
    ended: Callable[[T, int], T | None],
    waiting: Callable[[list[T]], None],
) -> None:
    """Run every task, as many at once as there are slots; one that fails does not stop the others.

    However this ends, no process is left running: each gets SIGINT, time to end, then SIGKILL.

    Args:
        tasks: What to run, in this order.
        slots: The environment variables of each slot.
        ended: Called with a task and its exit code; what it returns runs next.
        waiting: Called a few times a second with the tasks that are running.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM, after the processes have ended.
    """
    queue, free = deque(tasks), list(slots)
    running: dict[Process, tuple[T, Mapping[str, str]]] = {}
    with _terminated_as_interrupted():
        try:
            while queue or running:
                while queue and free:
                    task, slot = queue.popleft(), free.pop(0)
                    running[task.start(slot)] = task, slot
                for process in [process for process in running if process.poll() is not None]:
                    task, slot = running.pop(process)
                    free.append(slot)
                    follow_up = ended(task, process.returncode)
                    if follow_up is not None:
                        queue.appendleft(follow_up)
                waiting([task for task, _ in running.values()])
                if running:
                    time.sleep(POLL_SECONDS)
        finally:
            stop(running)


def stop(processes: Iterable[Process], patience: float = PATIENCE_SECONDS) -> None:
    """End processes: SIGINT, up to ``patience`` seconds for all of them, then SIGKILL."""
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + patience
    try:
        for process in alive:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                continue
    finally:  # also when somebody presses Ctrl-C again
        for process in alive:
            if process.poll() is None:
                process.kill()
                process.wait()


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Schedulers end a job by SIGTERM: treat it as Ctrl-C, so that no process stays behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
