"""Fits, chains of stages and cross-validations on synthetic people, with tiny networks."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.soak.scenario import Results, Scenario, hash_of

BACKBONE = "tests.ferlit.training.stopping.Dropping"
COMMON = (
    "--data.folds=3",
    f"--model.backbone={BACKBONE}",
    "--model.init_args.branches.init_args.hidden=[64,32]",
    "--trainer.accelerator=cpu",
    "--trainer.enable_model_summary=false",
)
EMA = (
    "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
    "--trainer.callbacks.decay=0.9",
)
BACK_OFF = (
    "--model.lr_scheduler=null",
    "--trainer.callbacks+=ferlit.training.BackOff",
    "--trainer.callbacks.patience=2",
)
STAGES: dict[str, Any] = {
    "stages": [
        {
            "name": "images",
            "config": ["ckplus.yaml", "systems/softmax.yaml"],
            "options": {"data.batch_size": 20, "trainer.max_epochs": 4},
        },
        {
            "name": "tuples",
            "config": "ckplus.yaml",
            "options": {"data.tuples_per_batch": 6, "trainer.max_epochs": 4},
        },
    ]
}


def scenarios(store: Path, work: Path) -> list[Scenario]:
    """Those of training.

    Args:
        store: Of faces.
        work: For the files that they need.
    """
    plan = work / "stages.yaml"
    plan.write_text(yaml.safe_dump(STAGES), encoding="utf-8")
    data = (f"--data.store={store}", *COMMON)

    def fit(folder: Path) -> list[str]:
        last = folder / "runs" / "soak" / "run" / "checkpoints" / "last.ckpt"
        logger = "--trainer.logger.init_args"
        return [
            "fit",
            "--config=ckplus.yaml",
            *data,
            "--data.tuples_per_batch=6",
            "--data.balanced=true",
            "--data.num_workers=2",
            "--trainer.max_epochs=12",
            "--trainer.accumulate_grad_batches=2",
            *EMA,
            *BACK_OFF,
            f"{logger}.save_dir={folder / 'runs'}",
            f"{logger}.name=soak",
            f"{logger}.version=run",
            *([f"--ckpt_path={last}"] if last.is_file() else []),
        ]

    def stages(folder: Path) -> list[str]:
        return ["stages", f"--config={plan}", f"--output={folder}", *data, "--data.num_workers=2"]

    def crossval(folder: Path) -> list[str]:
        return [
            "crossval",
            "--config=ckplus.yaml",
            f"--output={folder}",
            "--systems=softmax,2b_nm",
            "--seeds=0",
            "--jobs=2",
            *data,
            "--data.num_workers=0",
            "--trainer.max_epochs=4",
        ]

    return [
        Scenario("fit", fit, lambda folder: run_results(folder / "runs" / "soak" / "run")),
        Scenario("stages", stages, _of_stages),
        Scenario("crossval", crossval, _of_crossval, busy="running there"),
    ]


def run_results(folder: Path) -> Results:
    """What a run gave: its numbers, bit for bit, and whether it came to its end."""
    files = ("metrics.csv", "predictions.csv", "metrics.json", "confusion.csv", "split.csv")
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    checkpoints = folder / "checkpoints"
    return {
        **{name: hash_of(folder / name) for name in files},
        "best.ckpt": _hash_of_weights(checkpoints / "best.ckpt"),
        "last.ckpt": _hash_of_weights(checkpoints / "last.ckpt"),
        "left over": ", ".join(sorted(path.name for path in checkpoints.glob(".*"))),
        "finished": str("finished" in record),
    }


def _of_stages(folder: Path) -> Results:
    return {
        f"{run.name}/{name}": value
        for run in sorted(folder.glob("[0-9]_*"))
        for name, value in run_results(run).items()
    }


def _of_crossval(folder: Path) -> Results:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for run in results["runs"]:
        run.pop("seconds")
    found = {"results.json": json.dumps(results)}
    for run in sorted(folder.glob("runs/*/*/*")):
        place = run.relative_to(folder)
        found |= {f"{place}/{name}": value for name, value in run_results(run).items()}
    return found


def _hash_of_weights(path: Path) -> str:
    if not path.is_file():
        return "missing"
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    content = hashlib.sha256(str(checkpoint["epoch"]).encode())
    for part in ("state_dict", "current_model_state"):
        for name, value in checkpoint.get(part, {}).items():
            content.update(name.encode() + value.contiguous().numpy().tobytes())
    return content.hexdigest()[:16]
