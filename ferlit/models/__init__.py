"""The network: backbone and branches."""

from ferlit.models.branches import Branches, ClassificationBranch, OneBranch, Output, TwoBranch
from ferlit.models.inception import InceptionFER

__all__ = ["Branches", "ClassificationBranch", "InceptionFER", "OneBranch", "Output", "TwoBranch"]
