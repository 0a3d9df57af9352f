"""(N+M)-tuple clusters losses for identity-aware metric learning.

Liu, Kumar, You and Jia, Adaptive Deep Metric Learning for Identity-Aware Facial Expression
Recognition, CVPR Workshops 2017 (https://doi.org/10.1109/CVPRW.2017.79).
"""

from nmloss import functional
from nmloss.cached_gradients import cached_backward
from nmloss.chains import ChainedMiner
from nmloss.distances import MahalanobisDistance
from nmloss.identity_memory import IdentityMemory
from nmloss.indices import MinedIndices, TupleIndices, tuple_indices
from nmloss.losses import (
    AdaptiveNMTupleClustersLoss,
    CoupledClustersLoss,
    NMTupleClustersLoss,
    NPlusOneTupletLoss,
)
from nmloss.matches import LabelMatch, share_a_label
from nmloss.miners import IdentityAwareMiner, OnlinePositiveMiner
from nmloss.retrieval import RetrievalScores, retrieval_scores
from nmloss.samplers import IdentityTupleSampler, NegativeSources
from nmloss.wrappers import CrossBatchMemory, SelfSupervisedLoss

__all__ = [
    "AdaptiveNMTupleClustersLoss",
    "ChainedMiner",
    "CoupledClustersLoss",
    "CrossBatchMemory",
    "IdentityAwareMiner",
    "IdentityMemory",
    "IdentityTupleSampler",
    "LabelMatch",
    "MahalanobisDistance",
    "MinedIndices",
    "NMTupleClustersLoss",
    "NPlusOneTupletLoss",
    "NegativeSources",
    "OnlinePositiveMiner",
    "RetrievalScores",
    "SelfSupervisedLoss",
    "TupleIndices",
    "cached_backward",
    "functional",
    "retrieval_scores",
    "share_a_label",
    "tuple_indices",
]
