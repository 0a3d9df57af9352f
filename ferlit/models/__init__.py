"""The network: backbone and branches."""

from ferlit.models.branches import Branches, ClassificationBranch, OneBranch, Output, TwoBranch
from ferlit.models.inception import InceptionFER
from ferlit.models.residual import ResidualFER

__all__ = [
    "Branches",
    "ClassificationBranch",
    "InceptionFER",
    "OneBranch",
    "Output",
    "ResidualFER",
    "TwoBranch",
]
