"""The network: backbone and branches."""

from ferlit.models.branches import ClassificationBranch, OneBranch, Output, TwoBranch
from ferlit.models.inception import InceptionFER

__all__ = ["ClassificationBranch", "InceptionFER", "OneBranch", "Output", "TwoBranch"]
