"""Training: the LightningModules, their callbacks and the run's folder."""

from ferlit.training.callbacks import EpochSummary, SaveSplit, WriteResults
from ferlit.training.logger import RunLogger
from ferlit.training.modules import ExpressionModule, JointModule
from ferlit.training.provenance import RecordRun

__all__ = [
    "EpochSummary",
    "ExpressionModule",
    "JointModule",
    "RecordRun",
    "RunLogger",
    "SaveSplit",
    "WriteResults",
]
