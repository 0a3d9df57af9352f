"""Miners one after the other, each choosing among what the one before it has found."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pytorch_metric_learning import miners as pml
from torch import Tensor

from nmloss.indices import Masks, check_range, index_pairs, pair_mask
from nmloss.labels.tensors import check_references
from nmloss.miners import takes

Indices = tuple[Tensor, ...]
# They go through the lists of all pairs or triplets alone, which can be any; others take what is
# no positive for a negative, or draw by the labels.
_OF_LISTS = (
    pml.AngularMiner,
    pml.BatchEasyHardMiner,
    pml.HDCMiner,
    pml.PairMarginMiner,
    pml.TripletMarginMiner,
    pml.UniformHistogramMiner,
)


class ChainedMiner(pml.BaseMiner):  # type: ignore[misc]
    """A miner of miners: each chooses among the pairs or triplets of the one before it.

    The hardest negatives of the query's own identity, for instance, or semi-hard triplets of images
    that share a label. What it gives is among what the first one found; of triplets that are handed
    on to a miner of triplets, among those triplets.

    Called as its first miner is, and all of them see the same embeddings. Further arguments
    (``identities``) go to those that take them. The miners after the first may be

    - PML's, or any that tells positives from negatives by labels: they see labels of the pairs so
      far. Those of PML that look at all pairs together (`HDCMiner`) do so here; any other is asked
      query by query.
    - those of this package, and others that take ``among``, (B, R) masks of the positive and the
      negative pairs. `OnlinePositiveMiner` belongs last, where what it says of the queries reaches
      the loss.

    Args:
        miners: Two or more, in their order; chains among them are opened.
        **options: PML's ``collect_stats``.

    Raises:
        ValueError: there are none, or one is no miner; no miner takes a further argument; one gives
            pairs that it was not given.

    >>> from pytorch_metric_learning.miners import BatchHardMiner
    >>> from nmloss import IdentityAwareMiner
    >>> miner = ChainedMiner([IdentityAwareMiner(), BatchHardMiner()])
    >>> embeddings, labels, people = torch.eye(4), torch.tensor([0, 1, 0, 1]), [7, 7, 8, 8]
    >>> [index.tolist() for index in miner(embeddings, labels, identities=people)]
    [[0, 1, 2, 3], [2, 3, 0, 1], [1, 0, 3, 2]]
    """

    def __init__(self, miners: Iterable[Callable[..., Any]], **options: Any) -> None:
        super().__init__(**options)
        given = list(miners)
        for index, miner in enumerate(given):
            if not callable(miner):
                raise ValueError(f"miners: at {index} is {miner!r}, needed are miners")
        self.miners: list[Callable[..., Any]] = []
        for miner in given:
            self.miners += miner.miners if isinstance(miner, ChainedMiner) else [miner]
        if not self.miners:
            raise ValueError("miners: there are none")
        for miner in self.miners[1:]:
            if isinstance(miner, pml.EmbeddingsAlreadyPackagedAsTriplets):
                raise ValueError(f"miners: {type(miner).__name__} does not choose; put it first")
        # So that their weights, as of a learned distance, are known.
        self.parts = torch.nn.ModuleList(
            miner for miner in self.miners if isinstance(miner, torch.nn.Module)
        )

    def takes(self, name: str) -> bool:
        """Whether one of the miners takes an argument of that name."""
        return any(takes(miner, name) for miner in self.miners)

    def forward(
        self,
        embeddings: Tensor,
        labels: Any,
        ref_emb: Tensor | None = None,
        ref_labels: Any = None,
        **options: Any,
    ) -> Any:
        """As PML's; further arguments for the miners that take them.

        Returns:
            What the last miner gives: pairs (a1, p, a2, n) or triplets (a, p, n).
        """
        self.reset_stats()
        check_references("labels", labels, ref_emb, ref_labels)
        unknown = [name for name in options if not self.takes(name)]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no miner of this chain takes them")
        given = (embeddings, labels, ref_emb, ref_labels)
        size = (len(embeddings), len(embeddings if ref_emb is None else ref_emb))
        first, *others = self.miners
        with torch.no_grad():
            found: Any = first(*given, **_those_of(first, options))
            pairs = index_pairs(found, embeddings.device)
            check_range(pairs, size)
            for miner in others:
                among = pair_mask(pairs[0], size), pair_mask(pairs[1], size)
                chosen = _choose(miner, given, among, _those_of(miner, options))
                pairs = index_pairs(chosen, embeddings.device)
                _check_among(miner, pairs, among)
                if len(found) == len(chosen) == 3:
                    chosen = _common(chosen, found, size[1])
                    pairs = index_pairs(chosen, embeddings.device)
                found = chosen
        self.output_assertion(found)
        return found


def _choose(
    miner: Callable[..., Any],
    given: tuple[Tensor, Any, Tensor | None, Any],
    among: Masks,
    options: dict[str, Any],
) -> Any:
    """What a miner finds among pairs."""
    if takes(miner, "among"):
        return miner(*given, among=among, **options)
    embeddings, _, ref_emb, _ = given
    if isinstance(miner, _OF_LISTS):
        labels = _Relation(among, len(embeddings))
        if ref_emb is None or ref_emb is embeddings:
            return miner(embeddings, labels, **options)
        return miner(embeddings, labels, ref_emb, _Relation(among, len(ref_emb)), **options)
    references = embeddings if ref_emb is None else ref_emb
    positive, either = among[0], among[0] | among[1]
    found: list[Any] = []
    for query in either.any(dim=1).nonzero()[:, 0].tolist():
        places = either[query].nonzero()[:, 0]
        is_positive = positive[query, places].long()
        point = embeddings[query : query + 1]
        chosen = miner(point, torch.ones_like(places[:1]), references[places], is_positive)
        others = {1} if len(chosen) == 3 else {1, 3}
        others |= {len(chosen) - 1}
        found.append(
            [
                places[index] if k in others else torch.full_like(index, query)
                for k, index in enumerate(chosen)
            ]
        )
    if not found:
        return (torch.zeros(0, dtype=torch.long, device=embeddings.device),) * 4
    return tuple(torch.cat(indices) for indices in zip(*found, strict=True))


def _those_of(miner: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if takes(miner, name)}


def _check_among(miner: Callable[..., Any], pairs: Any, among: Masks) -> None:
    """See that a miner has chosen."""
    for side, mask in zip(pairs, among, strict=True):
        check_range((side, side), mask.shape)  # type: ignore[arg-type]
        if not mask[side].all():
            raise ValueError(
                f"{type(miner).__name__} gives pairs that the miner before it did not find: it "
                "does not go by labels; put it first"
            )


def _common(triplets: Indices, others: Indices, size: int) -> Indices:
    """The triplets that are among the others."""

    def keys(each: Indices) -> Tensor:
        a, p, n = (index.long() for index in each)
        return (a * size + p) * size + n

    keeps = torch.isin(keys(triplets), keys(others))
    return tuple(index[keeps] for index in triplets)


class _Relation:
    """Stands for labels in PML's miners: which pairs match, and which differ."""

    ndim, dtype = 1, torch.long

    def __init__(self, among: Masks, count: int) -> None:
        self.among, self.shape, self.device = among, (count,), among[0].device

    def __len__(self) -> int:
        return self.shape[0]

    def unsqueeze(self, dim: int) -> "_Relation":
        return self

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        matches = torch.Tensor._make_subclass(_Matches, self.among[0].byte())
        matches.differing = self.among[1].byte()
        return matches

    __hash__ = None  # type: ignore[assignment]


class _Matches(Tensor):
    """What PML makes of ``labels == ref_labels``, where not all other pairs differ."""

    differing: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def byte(self) -> "_Matches":
        return self

    def __xor__(self, other: object) -> Tensor:
        return self.differing
