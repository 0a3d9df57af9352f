"""Training: the LightningModules, their callbacks and the run's folder."""

from ferlit.training.callbacks import EpochSummary, SaveSplit, WriteResults
from ferlit.training.logger import RunLogger
from ferlit.training.modules import ExpressionModule, JointModule

__all__ = [
    "EpochSummary",
    "ExpressionModule",
    "JointModule",
    "RunLogger",
    "SaveSplit",
    "WriteResults",
]
