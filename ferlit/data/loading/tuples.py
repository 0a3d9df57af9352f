"""The data module of tuples, for training with a metric loss."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.errors import DataError
from nmloss import IdentityTupleSampler, NegativeSources

logger = logging.getLogger(__name__)
BATCH_SIZE = 128  # that of `ExpressionDataModule`, where nobody names one


class CountedTuples(IdentityTupleSampler):
    """`IdentityTupleSampler` that knows the sources up to each batch of the epoch.

    Loaders ask for batches ahead of their turn, and those of the end may never have one.
    """

    served: Sequence[NegativeSources] = ()  # after no batch, one, two, ...

    def __iter__(self) -> Iterator[list[int]]:
        self.served = served = [NegativeSources()]
        for batch in super().__iter__():
            served.append(self.sources)
            yield batch


class TupleDataModule(ExpressionDataModule):
    """Tuples for training with a metric loss (Liu et al. 2017, Sec. 3); images for evaluation.

    Every training image is the query of one tuple an epoch: M images of its expression (itself and
    M-1 of other people), then N images of the other expressions, its own where there are some.

    Of several stores, tuples are drawn from all together, as expressions are the same by name: the
    other people, and those who stand in where the query's own images lack an expression, may be of
    another store than the query.

    Args:
        positives: M, the query included.
        negatives: N; None for one per other expression.
        tuples_per_batch: Tuples a batch, (M + N) images each.
        **images: The arguments of `ExpressionDataModule`.
    """

    def __init__(
        self,
        positives: int = 6,
        negatives: int | None = None,
        tuples_per_batch: int = 12,
        **images: Any,
    ) -> None:
        super().__init__(**images)
        self.positives = positives
        self.negatives = negatives
        self.tuples_per_batch = tuples_per_batch
        self.sampler: CountedTuples | None = None

    @property
    def negative_sources(self) -> NegativeSources:
        """Whose images served as negatives in the batches that this epoch has trained on so far."""
        if self.sampler is None or not self.sampler.served:
            return NegativeSources()
        trained = (
            self.trainer.fit_loop.epoch_loop.batch_progress.current.ready if self.trainer else -1
        )
        return self.sampler.served[trained]

    def setup(self, stage: str) -> None:
        """Open the store and split it; training needs to know the persons."""
        super().setup(stage)
        if stage == "fit" and self.batch_size != BATCH_SIZE:
            logger.warning(
                "data.batch_size=%d is not used: a batch has data.tuples_per_batch=%d tuples",
                *(self.batch_size, self.tuples_per_batch),
            )
        for member in self.store.members if stage == "fit" else ():
            store = member.store
            if (store.records["identity"] == "").any():
                raise DataError(
                    f"{store.description.database} (store {store.folder}) does not name the "
                    "persons, and tuples need them; find them with `ferlit identities --store "
                    f"{store.folder}`, or train with the softmax loss (--config "
                    "systems/softmax.yaml)"
                )

    @property
    def tuple_size(self) -> tuple[int, int]:
        return self.positives, len(self.classes) - 1 if self.negatives is None else self.negatives

    def _batches(self, rows: NDArray[np.int64]) -> CountedTuples:
        identities = self.store.records["identity"].to_numpy()
        self.sampler = CountedTuples(
            self.labels[rows].tolist(),
            identities[rows].tolist(),
            positives=self.positives,
            negatives=self.tuple_size[1],
            tuples_per_batch=self.tuples_per_batch,
            num_replicas=self._num_replicas,
            rank=self._rank,
            seed=self.seed,
            balanced=self.balanced,
            weights=self._weights(rows),
        )
        return self.sampler
