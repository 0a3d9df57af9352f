"""Training: the LightningModules, their callbacks and the run's folder."""

from ferlit.training.backoff import BackOff
from ferlit.training.callbacks import EpochSummary, SaveSplit, WriteResults
from ferlit.training.finite import StopOnNonFinite
from ferlit.training.logger import RunLogger
from ferlit.training.modules import ExpressionModule, JointModule
from ferlit.training.provenance import RecordRun
from ferlit.training.schedules import WarmupCosine
from ferlit.training.statistics import LearningRate, MiningStatistics
from ferlit.training.wandb_logger import WandbRunLogger

__all__ = [
    "BackOff",
    "EpochSummary",
    "ExpressionModule",
    "JointModule",
    "LearningRate",
    "MiningStatistics",
    "RecordRun",
    "RunLogger",
    "SaveSplit",
    "StopOnNonFinite",
    "WandbRunLogger",
    "WarmupCosine",
    "WriteResults",
]
