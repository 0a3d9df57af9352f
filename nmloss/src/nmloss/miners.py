"""Miners that know a second label, and Algorithm 1 as a miner (Liu et al. 2017, Sec. 3)."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor

from nmloss import equations
from nmloss.arguments import full_precision, no_autocast, whole
from nmloss.base import TupleLoss
from nmloss.indices import (
    Masks,
    MinedIndices,
    Pairs4,
    index_pairs,
    label_masks,
    masked_pairs,
    pair_mask,
)
from nmloss.labels.tensors import alike, check_references
from nmloss.losses import NMTupleClustersLoss
from nmloss.tuples.builders import build_tuples
from nmloss.tuples.members import Segments

Keep = Literal["nearest", "farthest", "random"]


class _Miner(BaseMiner):  # type: ignore[misc]
    """PML's miner, with more arguments for `mine`."""

    def get_default_distance(self) -> LpDistance:
        return LpDistance(p=2, power=2)

    def forward(
        self,
        embeddings: Tensor,
        labels: Any,
        ref_emb: Tensor | None = None,
        ref_labels: Any = None,
        **options: Any,
    ) -> Pairs4:
        self.reset_stats()
        with torch.no_grad(), no_autocast(embeddings):
            check_references("labels", labels, ref_emb, ref_labels)
            embeddings, ref_emb = full_precision(embeddings, ref_emb)
            if not self.reads_labels(options):
                labels = ref_labels = torch.zeros(0)
                return self._checked(self.mine(embeddings, labels, ref_emb, ref_labels, **options))
            if ref_emb is embeddings and ref_labels is None:
                ref_labels = labels
            labels, ref_labels = alike("labels", labels, ref_labels, embeddings, ref_emb)
            if labels is None or ref_labels is None:
                raise ValueError("labels and, beside ref_emb, ref_labels are needed")
            return self._checked(self.mine(embeddings, labels, ref_emb, ref_labels, **options))

    def reads_labels(self, options: Mapping[str, Any]) -> bool:
        """Whether `mine` needs labels beside its other arguments."""
        return True

    def takes(self, name: str) -> bool:
        """Whether it can be called with an argument of that name."""
        return name in inspect.signature(self.mine).parameters

    def _checked(self, mined: Pairs4) -> Pairs4:
        self.output_assertion(mined)
        return mined


class IdentityAwareMiner(_Miner):
    """Pairs that a second label decides: a person, a camera, a speaker.

    Positives share the query's label and not its identity; negatives share its identity and not its
    label. For every label that the query's identity lacks, the negatives are those of its
    positives' identities (Liu et al. 2017, Sec. 3). For any loss of this package or of PML; inside
    `IdentityMemory`, but not PML's wrappers, which have no way to hand the identities on.

    Called ``miner(embeddings, labels, ref_emb=None, ref_labels=None, *, identities,
    ref_identities=None)``, identities being (B,), and (R,) of the references. Labels and identities
    are numbers or texts, in a tensor or in anything else, and are compared by value.

    Args:
        max_positives: At most so many a query; None for all.
        max_negatives: At most so many a query; None for all.
        keep_positives: Which of them stay: "nearest", "farthest" or "random".
        keep_negatives: The same of the negatives.
        **pml: PML's ``distance``, by which near and far are told, and ``collect_stats``.

    Raises:
        ValueError: an argument is out of range, or identities are missing, too few, or several in
            one place.

    >>> miner = IdentityAwareMiner()
    >>> labels, people = torch.tensor([0, 1, 0, 1]), ["ann", "ann", "bob", "bob"]
    >>> a1, p, a2, n = miner(torch.randn(4, 8), labels, identities=people)
    >>> list(zip(a1.tolist(), p.tolist())), list(zip(a2.tolist(), n.tolist()))
    ([(0, 2), (1, 3), (2, 0), (3, 1)], [(0, 1), (1, 0), (2, 3), (3, 2)])
    """

    def __init__(
        self,
        *,
        max_positives: int | None = None,
        max_negatives: int | None = None,
        keep_positives: Keep = "random",
        keep_negatives: Keep = "nearest",
        **pml: Any,
    ) -> None:
        super().__init__(**pml)
        for name, keep in (("keep_positives", keep_positives), ("keep_negatives", keep_negatives)):
            if keep not in ("nearest", "farthest", "random"):
                raise ValueError(f"{name}={keep!r}; known are 'nearest', 'farthest' and 'random'")
        self.max_positives = (
            None if max_positives is None else whole("max_positives", max_positives, 1)
        )
        self.max_negatives = (
            None if max_negatives is None else whole("max_negatives", max_negatives, 1)
        )
        self.keep_positives = keep_positives
        self.keep_negatives = keep_negatives

    def mine(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_emb: Tensor,
        ref_labels: Tensor,
        *,
        identities: Any = None,
        ref_identities: Any = None,
        among: Masks | None = None,
    ) -> Pairs4:
        if identities is None:
            raise ValueError("identities: this miner needs those of the embeddings, (B,)")
        if ref_identities is None:
            if ref_emb is not embeddings:
                raise ValueError("ref_identities: needed beside ref_emb, (R,)")
            ref_identities = identities
        check_references(
            "identities", identities, None if ref_emb is embeddings else ref_emb, ref_identities
        )
        people, ref_people = alike("identities", identities, ref_identities, embeddings, ref_emb)
        assert people is not None
        assert ref_people is not None
        is_alike = labels[:, None] == ref_labels
        is_same_person = people[:, None] == ref_people
        others = is_alike & ~is_same_person
        positives = self._capped(
            others if among is None else others & among[0],
            embeddings,
            ref_emb,
            self.max_positives,
            self.keep_positives,
        )
        own = is_same_person & ~is_alike
        borrowed = ~is_alike & ~_shown(own, ref_labels) & _shown(positives, ref_people)
        negatives = self._capped(
            own | borrowed if among is None else (own | borrowed) & among[1],
            embeddings,
            ref_emb,
            self.max_negatives,
            self.keep_negatives,
        )
        return masked_pairs(positives, negatives)

    def _capped(
        self, mask: Tensor, embeddings: Tensor, ref_emb: Tensor, limit: int | None, keep: Keep
    ) -> Tensor:
        """The mask with at most ``limit`` members a row."""
        if limit is None or limit >= mask.shape[1]:
            return mask
        if keep == "random":
            ranks = torch.rand(mask.shape, device=mask.device)
        else:
            ranks = self.distance(embeddings, ref_emb).float()
            ranks = -ranks if self.distance.is_inverted is (keep == "nearest") else ranks
        chosen = ranks.masked_fill(~mask, torch.inf).topk(limit, dim=1, largest=False).indices
        return mask & torch.zeros_like(mask).scatter(1, chosen, True)


class OnlinePositiveMiner(_Miner):
    """Online positive mining (Liu et al. 2017, Algorithm 1) on top of any miner.

    Drops the positives of a query that are farther from the centre of its positive set (the query
    included) than the nearest of its negatives; where none would be left, the nearest stay. With a
    loss that has ``mine_positives=False`` it gives exactly the loss that mines by itself; other
    losses, PML's too, get the same pairs. Inside `CrossBatchMemory`, or PML's
    ``DistributedMinerWrapper(efficient=True)``, it does not: they give the indices on without the
    note of which queries were kept. Let the loss mine there.

    Args:
        base: The miner whose pairs are mined further; None for all pairs of the batch.
        loss: The loss that ranks, where this is `AdaptiveNMTupleClustersLoss` or has a distance of
            its own; None for squared Euclidean distances on normalised embeddings.
        **pml: PML's ``distance``, used where there is no ``loss``, and ``collect_stats``.

    Raises:
        ValueError: ``loss`` is none that pulls positives to their centre, or ``base`` no miner.

    >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [-1.0, 0.0]])
    >>> a1, p, _, _ = OnlinePositiveMiner()(embeddings, torch.tensor([0, 0, 0, 1, 1]))
    >>> a1.tolist(), p.tolist()  # the third embedding is left out of the first two's cluster
    ([0, 1, 2, 2, 3, 4], [1, 0, 0, 1, 4, 3])
    """

    def __init__(
        self,
        base: Callable[..., Any] | None = None,
        *,
        loss: TupleLoss | None = None,
        **pml: Any,
    ) -> None:
        super().__init__(**pml)
        if loss is not None and not (isinstance(loss, TupleLoss) and loss.query_is_positive):
            raise ValueError(
                f"loss={type(loss).__name__}: needed is one that pulls positives to their centre, "
                "such as NMTupleClustersLoss"
            )
        if base is not None and not callable(base):
            raise ValueError(f"base={base!r}: needed is a miner, or None for all pairs")
        self.base = base
        self.loss = NMTupleClustersLoss(distance=self.distance) if loss is None else loss

    def reads_labels(self, options: Mapping[str, Any]) -> bool:
        return self.base is not None or options.get("among") is None

    def takes(self, name: str) -> bool:
        of_base = self.base is not None and takes(self.base, name)
        return name == "among" or of_base

    def mine(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_emb: Tensor,
        ref_labels: Tensor,
        among: Masks | None = None,
        **options: Any,
    ) -> Pairs4:
        if self.base is None and options:
            raise ValueError(f"{', '.join(options)}: there is no base miner that takes them")
        if self.base is not None:
            indices = self.base(embeddings, labels, ref_emb, ref_labels, **options)
            indices = _within(indices, among)
        elif among is None:
            indices = masked_pairs(*label_masks(labels, ref_labels))
        else:
            indices = masked_pairs(*among)
        (anchors, others), negative = index_pairs(indices, embeddings.device)
        pairs = (anchors, others, *negative)
        tuples = build_tuples(self.loss.measure, True, embeddings, None, pairs, ref_emb, None)
        kept = equations.mined(tuples)
        count = len(embeddings)
        if isinstance(tuples.positives, Segments):
            keeps_query, keeps = kept[:count], kept[count:]
        else:
            start = 0 if ref_emb is embeddings else count
            keeps_query, keeps = kept.diagonal(), kept[anchors, others + start]
        return MinedIndices((anchors[keeps], others[keeps], *negative), keeps_query)


def takes(miner: Callable[..., Any], name: str) -> bool:
    """Whether a miner can be called with an argument of that name.

    >>> knowing = IdentityAwareMiner()
    >>> miners = (knowing, OnlinePositiveMiner(), OnlinePositiveMiner(knowing))
    >>> [takes(miner, "identities") for miner in miners]
    [True, False, True]
    """
    own = getattr(miner, "takes", None)
    if callable(own):
        return bool(own(name))
    call = miner.forward if isinstance(miner, torch.nn.Module) else miner
    try:
        parameters = inspect.signature(call).parameters
    except ValueError:  # of a function that says nothing of its arguments
        return False
    return name in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def _within(indices: Any, among: Masks | None) -> Any:
    """Those of the pairs that the masks have."""
    if among is None:
        return indices
    size = (among[0].shape[0], among[0].shape[1])
    pairs = index_pairs(indices, among[0].device)
    return masked_pairs(*(pair_mask(p, size) & mask for p, mask in zip(pairs, among, strict=True)))


def _shown(mask: Tensor, names: Tensor) -> Tensor:
    """(B, R) True where a member of the row has the same name as the reference."""
    codes = torch.unique(names, return_inverse=True)[1]
    shown = torch.zeros_like(mask, dtype=torch.float32)
    shown.index_add_(1, codes, mask.float())
    return shown[:, codes] > 0
