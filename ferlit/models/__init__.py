"""The network: backbone and branches."""

from ferlit.models.branches import Branches, ClassificationBranch, OneBranch, Output, TwoBranch
from ferlit.models.inception import InceptionFER
from ferlit.models.residual import ResidualFER
from ferlit.models.timm import TimmBackbone

__all__ = [
    "Branches",
    "ClassificationBranch",
    "InceptionFER",
    "OneBranch",
    "Output",
    "ResidualFER",
    "TimmBackbone",
    "TwoBranch",
]
