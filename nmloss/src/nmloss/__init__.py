"""(N+M)-tuple clusters losses for identity-aware metric learning.

Liu, Kumar, You and Jia, Adaptive Deep Metric Learning for Identity-Aware Facial Expression
Recognition, CVPR Workshops 2017 (https://doi.org/10.1109/CVPRW.2017.79).
"""

from nmloss import functional
from nmloss.indices import TupleIndices, tuple_indices
from nmloss.losses import AdaptiveNMTupleClustersLoss, NMTupleClustersLoss, NPlusOneTupletLoss
from nmloss.samplers import IdentityTupleSampler, NegativeSources

__all__ = [
    "AdaptiveNMTupleClustersLoss",
    "IdentityTupleSampler",
    "NMTupleClustersLoss",
    "NPlusOneTupletLoss",
    "NegativeSources",
    "TupleIndices",
    "functional",
    "tuple_indices",
]
