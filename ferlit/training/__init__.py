"""Training: the LightningModules, their callbacks and the run's folder."""

from ferlit.training.callbacks.averaging import AveragedWeights
from ferlit.training.callbacks.backoff import BackOff
from ferlit.training.callbacks.checkpoint import GoOn, RunCheckpoint
from ferlit.training.callbacks.finite import StopOnNonFinite
from ferlit.training.callbacks.provenance import RecordRun
from ferlit.training.callbacks.seeding import SeedEpochs
from ferlit.training.callbacks.statistics import LearningRate, MiningStatistics
from ferlit.training.callbacks.summary import EpochSummary, SaveSplit, WriteResults
from ferlit.training.joint import JointModule
from ferlit.training.modules import ExpressionModule
from ferlit.training.record.logger import RunLogger
from ferlit.training.record.wandb_logger import WandbRunLogger
from ferlit.training.schedules import CosineAnnealingLR, WarmupCosine

__all__ = [
    "AveragedWeights",
    "BackOff",
    "CosineAnnealingLR",
    "EpochSummary",
    "ExpressionModule",
    "GoOn",
    "JointModule",
    "LearningRate",
    "MiningStatistics",
    "RecordRun",
    "RunCheckpoint",
    "RunLogger",
    "SaveSplit",
    "SeedEpochs",
    "StopOnNonFinite",
    "WandbRunLogger",
    "WarmupCosine",
    "WriteResults",
]
