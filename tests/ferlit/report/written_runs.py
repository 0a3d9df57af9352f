"""Folders of finished runs, written without training, for tests of what reads them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ferlit.data.records import record_table
from ferlit.evaluation.results import evaluate_images
from ferlit.evaluation.tables import prediction_table, write_evaluation

CLASSES = ["anger", "fear", "sadness"]
FOLDS = 3


def predictions(fold: int, seed: int) -> pd.DataFrame:
    """Two frames each of 12 sequences, by the three persons of a fold."""
    rng = np.random.default_rng((fold, seed))
    records = record_table(
        {
            "image": f"{fold}/{s}_{k}.png",
            "expression": CLASSES[s % 3],
            "identity": f"{fold}{s % 3:02}",  # looks like a number, and is none
            "sequence": f"{fold}-{s}",
        }
        for s in range(12)
        for k in range(2)
    )
    return prediction_table(records, rng.dirichlet(np.ones(3), size=24), CLASSES)


def write_run(
    root: Path,
    system: str = "softmax",
    seed: int = 0,
    fold: int | None = 0,
    at: str = "",
    **data: Any,
) -> Path:
    """Write a run of two epochs and its test.

    The place below ``root`` is that of a cross-validation, or ``at``; ``data`` are options of the
    data module.
    """
    folder = root / (at or f"runs/{system}/seed_{seed}/fold_{fold}")
    table = predictions(fold or 0, seed)
    write_evaluation({"image": evaluate_images(table, CLASSES)}, table, folder)
    options = {"database": "synthetic", "fold": fold, "folds": FOLDS, **data}
    config = {
        "seed_everything": seed,
        "model": {"class_path": "ferlit.training.ExpressionModule", "init_args": {}},
        "data": {"init_args": options},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    started = f"2026-01-01T00:00:{seed:02}"
    command = ["/somewhere/ferlit", "fit", f"--data.fold={fold}"]
    record = {"command": command, "started": started, "finished": started}
    (folder / "run.json").write_text(json.dumps(record))
    rows = [{"epoch": 0, "train/loss": 2 + seed}, {"epoch": 0, "val/accuracy": 0.1}]
    rows += [{"epoch": 1, "train/loss": 1}, {"epoch": 1, "val/accuracy": 0.5 + seed / 10}]
    pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
    split = {
        "split": "test",
        "fold": fold or 0,
        "identity": [f"{fold}{p:02}" for p in range(3)],
    }
    pd.DataFrame({**split, "images": 8, "sequences": 4}).to_csv(folder / "split.csv", index=False)
    return folder


def write_study(root: Path) -> Path:
    """Two systems, two seeds, three folds; the second seed of 2b_nm lacks a fold."""
    for system in ("2b_nm", "softmax"):
        for seed in (0, 1):
            for fold in range(FOLDS):
                if (system, seed, fold) != ("2b_nm", 1, 2):
                    write_run(root, system, seed, fold)
    return root
