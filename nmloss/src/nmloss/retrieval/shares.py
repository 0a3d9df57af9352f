"""The embeddings that a process holds, checked, with labels that mean the same in all processes."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmloss.arguments import check_real
from nmloss.labels.values import entries, numbered
from nmloss.retrieval.nearness import LARGEST
from nmloss.retrieval.processes import Processes
from nmloss.retrieval.ranking import Marks

Columns = dict[str, list[Hashable]]


@dataclass(frozen=True)
class Share:
    """The queries and the references of one process.

    Args:
        queries: (Q, D).
        references: (R, D); the same object where the queries are searched among themselves.
        labels: Of the queries and of the references, by argument.
        identities: The same; empty where there are none.
        low: (D,) the smallest entries of all embeddings.
        high: (D,) the largest.
    """

    queries: Tensor
    references: Tensor
    labels: Columns
    identities: Columns
    low: Tensor
    high: Tensor


def checked(
    queries: Tensor,
    query_labels: Any,
    references: Tensor | None,
    reference_labels: Any,
    query_identities: Any,
    reference_identities: Any,
) -> Share:
    """The arguments of `nmloss.retrieval_scores` as a share.

    Raises:
        ValueError: see there.
    """
    check_real("queries", queries, (2,))
    ends = [_ends("queries", queries)]
    given = {"query_labels": (query_labels, queries)}
    owners = {"query_identities": (query_identities, queries)}
    if references is None:
        for name, values in (("labels", reference_labels), ("identities", reference_identities)):
            if values is not None:
                raise ValueError(f"reference_{name}: given without references")
    else:
        check_real("references", references, (2,))
        if references.shape[1] != queries.shape[1]:
            raise ValueError(
                f"references of shape {tuple(references.shape)} for queries of "
                f"{tuple(queries.shape)}: needed is the same size"
            )
        if references.device != queries.device:
            raise ValueError(
                f"references on {references.device}, queries on {queries.device}: "
                "needed is one device"
            )
        ends.append(_ends("references", references))
        given["reference_labels"] = (reference_labels, references)
        owners["reference_identities"] = (reference_identities, references)
    has_identities = [values is not None for values, _ in owners.values()]
    if any(has_identities) and not all(has_identities):
        missing = list(owners)[has_identities.index(False)]
        raise ValueError(f"{missing}: needed beside those of the others")
    low, high = (torch.stack(side) for side in zip(*ends, strict=True))
    return Share(
        queries,
        queries if references is None else references,
        _columns(given),
        _columns(owners) if all(has_identities) else {},
        low.amin(dim=0),
        high.amax(dim=0),
    )


def marked(share: Share, processes: Processes) -> tuple[Marks, Marks]:
    """The marks of all queries, those of process 0 first, and of the references of this process.

    Without identities each of the queries that are searched among themselves owns itself, and no
    other query owns a reference.

    Raises:
        ValueError: labels, or identities, are of one kind here and of another there.
    """
    device, is_among_themselves = share.queries.device, share.references is share.queries
    counts = processes.gather(len(share.queries))
    labels = _common("labels", share.labels, processes)
    if share.identities:
        owners = _common("identities", share.identities, processes)
    else:
        first = sum(counts[: processes.rank])
        owners = [np.arange(first, first + len(share.queries))]
        if not is_among_themselves:
            owners.append(np.full(len(share.references), -1))
    of_all = [np.concatenate(processes.gather(part[0])) for part in (labels, owners)]
    queries = Marks(*(torch.from_numpy(part).to(device) for part in of_all))
    own = (torch.from_numpy(part[-1]).to(device) for part in (labels, owners))
    return queries, Marks(*own)


def _ends(name: str, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """(D,) the smallest and the largest entries."""
    size = embeddings.shape[1]
    if size == 0:
        raise ValueError(f"{name} of shape {tuple(embeddings.shape)}: embeddings of no size")
    if len(embeddings) == 0:
        nothing = torch.full((size,), torch.inf, dtype=torch.float64, device=embeddings.device)
        return nothing, -nothing
    low, high = (end.double() for end in torch.aminmax(embeddings.detach(), dim=0))
    if not bool((torch.maximum(high, -low) < LARGEST).all()):  # NaN is not
        values = embeddings.detach().double()
        bad = (~(values.abs() < LARGEST)).any(dim=1).nonzero()[:, 0].tolist()
        raise ValueError(
            f"{name}: {len(bad)} of {len(embeddings)} embeddings have entries that are NaN, "
            f"infinite or beyond 2^400, the first at {bad[0]}"
        )
    return low, high


def _columns(given: dict[str, tuple[Any, Tensor]]) -> Columns:
    for name, (values, _) in given.items():
        if values is None:
            raise ValueError(f"{name}: needed, one for each embedding")
    columns = entries({name: values for name, (values, _) in given.items()})
    for name, (_, embeddings) in given.items():
        if len(columns[name]) != len(embeddings):
            raise ValueError(
                f"{name}: {len(columns[name])} for {len(embeddings)} embeddings: needed is one each"
            )
    return columns


def _common(name: str, columns: Columns, processes: Processes) -> list[np.ndarray[Any, Any]]:
    """The columns as numbers that stand for the same values in all processes."""
    names, numbers = numbered(columns)
    known = [value for found in processes.gather(names) for value in found]
    _, (places,) = numbered(entries({name: known}))
    number = dict(zip(known, places, strict=True))
    table = np.array([number[value] for value in names], dtype=np.int64)
    return [table[column] for column in numbers]
