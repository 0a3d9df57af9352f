"""Time and memory to plan an epoch of tuples: ``python -m benchmarks.sampler``.

Images, labels and identities as many and as unequal as in Multi-PIE, CK+ and a large retrieval set.
Memory is the growth of the process's peak over what it held before.
"""

import resource
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from nmloss import IdentityTupleSampler

# Images of each label, identities, options.
SETS: dict[str, tuple[list[int], int, dict[str, Any]]] = {
    "Multi-PIE": ([114_305, 47_338, 22_696, 19_817], 337, {}),
    "CK+": ([135, 54, 177, 75, 207, 84, 249], 118, {}),
    "1,000 labels": ([200] * 1000, 100_000, {"negatives": 6}),
}


def held() -> float:
    """Megabytes that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def plan(name: str) -> None:
    counts, people, options = SETS[name]
    labels = np.repeat(np.arange(len(counts)), counts)
    identities = np.random.default_rng(0).permutation(np.arange(len(labels)) % people)
    before = held()
    start = time.perf_counter()
    sampler = IdentityTupleSampler(labels, identities, **options)
    made = time.perf_counter()
    images = sum(len(batch) for batch in sampler)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:14} {len(labels):8} images, {images:8} in tuples of {sampler.positives} + "
        f"{sampler.negatives}: made in {1e3 * (made - start):.1f} ms, an epoch planned in "
        f"{1e3 * (end - made):.1f} ms, {max(peak - before, 0):.0f} MB"
    )


if __name__ == "__main__":
    for each in SETS:
        # A process each: a peak never goes down.
        process = get_context("spawn").Process(target=plan, args=(each,))
        process.start()
        process.join()
