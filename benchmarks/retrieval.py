"""Seconds and memory of a retrieval evaluation: ``python -m benchmarks.retrieval``.

Random clusters on one thread: a class has a centre, and a member is its centre with noise.
"""

import argparse
import resource
import time

import torch

from nmloss import retrieval_scores


def peak() -> int:
    """The most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--references", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=128, help="of an embedding")
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--identities", type=int, default=0, help="0: none")
    parser.add_argument("--chunk-size", type=int, default=2048)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    centers = torch.randn(given.classes, given.size)

    def members(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        labels = torch.randint(given.classes, (count,))
        embeddings = torch.randn(count, given.size).mul_(1.5)
        for part in torch.arange(count).split(10_000):  # the peak is to be that of the evaluation
            embeddings[part] += centers[labels[part]]
        identities = torch.randint(given.identities, (count,)) if given.identities else None
        return embeddings, labels, identities

    queries, labels, identities = members(given.queries)
    references, reference_labels, reference_identities = members(given.references)
    before, start = peak(), time.perf_counter()
    scores = retrieval_scores(
        queries,
        labels,
        references,
        reference_labels,
        query_identities=identities,
        reference_identities=reference_identities,
        k=(1, 10),
        chunk_size=given.chunk_size,
    )
    seconds = time.perf_counter() - start
    print(
        f"{given.queries} queries, {given.references} references of size {given.size}, "
        f"{given.classes} classes: {seconds:.1f} s, peak {peak()} MB, {before} MB before it began\n"
        f"{scores}"
    )


if __name__ == "__main__":
    main()
