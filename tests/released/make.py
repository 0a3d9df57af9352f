"""Makes the files of a release that later states must still read, and the numbers they give.

    OMP_NUM_THREADS=1 python -m tests.released.make

Run it in a checkout of the release, on the CPU; it takes some minutes and replaces
``tests/released/files`` and ``tests/released/expected``. Everything is made in one neutral folder
by relative paths, so that `tests.released.test_released` may use it anywhere. Files of an earlier
release are replaced only when they need no longer be read.
"""

import gzip
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from PIL import Image

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.data.synthetic import write_ckplus
from tests.released import measures

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests" / "released"
FILES, EXPECTED = HERE / "files", HERE / "expected"
PLACE = Path(tempfile.gettempdir()) / "ferlit-released"
MOVED, SOURCE = "/moved", "/source"  # stand for PLACE and ROOT in the files that people read
# What says nothing to a command: pictures, TensorBoard's events, logs; and the last checkpoints of
# stages that are finished.
LEFT_OUT = {
    "stores": ["contact_sheet.png"],
    "runs": ["*.png", "events.out.*", "hparams.yaml"],
    "cv": ["*.png", "events.out.*", "hparams.yaml", "*.log", ".*"],
    "stages": ["*.png", "events.out.*", "hparams.yaml", "*.log", "last.ckpt", ".*"],
    "exported": [],
    "losses": [],
}
TEXTS = (".csv", ".json", ".md", ".yaml")
SMALL = [
    "--model.backbone=tests.ferlit.tiny.TiniestBackbone",
    "--model.branches.hidden=[8,6]",
    "--data.store=stores/ckplus",
    "--data.folds=3",
    "--data.num_workers=0",
    "--trainer.accelerator=cpu",
]
SMALL_TUPLES = ["--data.tuples_per_batch=2", "--data.positives=2", "--data.negatives=2"]
SMALL_METRIC = [
    "--model.branches.embedding_size=6",
    "--model.branches.connect_size=6",
    "--model.metric_loss.embedding_size=6",
]
FIT = [
    *("fit", "--config=ckplus.yaml", *SMALL, "--trainer.logger.save_dir=runs"),
    "--model.optimizer.lr=0.03",
]
FITS = {
    "2b_nm": [
        *(*FIT, "--trainer.logger.name=2b_nm", *SMALL_TUPLES, *SMALL_METRIC),
        "--model.lr_scheduler.T_max=12",
    ],
    "softmax": [*FIT, "--trainer.logger.name=softmax", "--config=systems/softmax.yaml"],
}
EPOCHS, MORE_EPOCHS = "--trainer.max_epochs=8", "--trainer.max_epochs=9"
RESUMED = {"2b_nm": [*FITS["2b_nm"], MORE_EPOCHS, "--ckpt_path=last"]}
CROSSVAL = [
    *("crossval", "--config=ckplus.yaml", "--systems=softmax,1b_n1", "--seeds=0", "--output=cv"),
    *(*SMALL, "--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.5"),
    "--trainer.max_epochs=12",
]
STAGES = ["stages", "--config=stages.yaml", "--output=stages"]
PLAN = {
    "stages": [
        {"name": "first", "config": "stage.yaml"},
        {
            "name": "second",
            "config": ["stage.yaml", "systems/2b_nm.yaml"],
            "options": {
                "data": "ferlit.data.TupleDataModule",
                **dict(option.removeprefix("--").split("=") for option in SMALL_TUPLES),
                **dict(option.removeprefix("--").split("=") for option in SMALL_METRIC),
            },
        },
    ]
}
STAGE = {
    "model": {
        "class_path": "ferlit.training.ExpressionModule",
        "init_args": {
            "backbone": {"class_path": "tests.ferlit.tiny.TiniestBackbone"},
            "branches": {
                "class_path": "ferlit.models.OneBranch",
                "init_args": {"hidden": [8, 6]},
            },
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5}},
        },
    },
    "data": {
        "class_path": "ferlit.data.ExpressionDataModule",
        "init_args": {"store": "stores/ckplus", "fold": 0, "folds": 3, "num_workers": 0},
    },
    "trainer": {"max_epochs": 8, "accelerator": "cpu"},
}
SEED = 2164  # six people with two expressions each, three in all
FERPLUS_ROWS = 10


def make() -> None:
    """Make everything."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    os.chdir(PLACE)
    os.environ |= {"FERLIT_TRUST": "tests", "NO_ALBUMENTATIONS_UPDATE": "1"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "nmloss" / "src")])
    make_stores()
    make_runs()
    make_exported()
    make_losses()
    keep_files()
    keep_expected()
    shutil.rmtree(PLACE)


def make_stores() -> None:
    """CK+ with sequences, a table whose persons are named beside it, FER+ with its votes."""
    write_ckplus(Path("trees/ckplus"), subjects=6, seed=SEED, expressions_per_subject=2, frames=3)
    for like in ("csv", "ferplus"):
        options = [f"--like={like}", f"--root=trees/{like}", f"--output=drawn/{like}"]
        run("prepare", "--database=synthetic", *options)
    table = Path("trees/csv/records.csv")
    lines = [line for line in table.read_text("utf-8").splitlines() if "fear" in line]
    nameless = [line.replace(",ben,", ",,").replace(",carla,", ",,") for line in lines]
    table.write_text("\n".join([table.read_text("utf-8").splitlines()[0], *nameless]) + "\n")
    for name in ("fer2013/fer2013.csv", "ferplus/fer2013new.csv"):
        path = Path("trees/ferplus", name)
        rows = path.read_text("utf-8").splitlines()[: FERPLUS_ROWS + 1]
        path.write_text("\n".join(rows) + "\n")
    for name in measures.STORES:
        options = [f"--root=trees/{name}", f"--output=stores/{name}", "--landmarks=auto"]
        if name == "csv":
            options[-1] = "--landmarks=none"
        run("prepare", f"--database={name}", *options)
    records = Store.open(Path("stores/csv")).records
    images = records.loc[records["identity"] == "", "image"]
    rows = [f"{image},{Path(image).name.split('_')[0]}" for image in images]
    Path("stores/csv/identities.csv").write_text("\n".join(["image,identity", *rows]) + "\n")


def make_runs() -> None:
    """Two fits with their evaluations, one gone on with; a cross-validation; a chain of stages."""
    for name, options in FITS.items():
        run(*options, EPOCHS)
        for command in ("test", "validate", "predict"):
            run(command, f"runs/{name}/version_0")
    shutil.copytree("runs", "before")
    for options in RESUMED.values():
        run(*options)
    shutil.move("runs", "resumed")
    shutil.move("before", "runs")
    run(*CROSSVAL)
    Path("stages.yaml").write_text(yaml.safe_dump(PLAN))
    Path("stage.yaml").write_text(yaml.safe_dump(STAGE))
    run(*STAGES)
    for runs in measures.REPORTED:
        run("report", f"--runs={runs}", f"--output=reports/{runs}")


def make_exported() -> None:
    """The two-branch network in every form, and a face."""
    checkpoint = f"--checkpoint={measures.TWO_BRANCHES}/checkpoints/best.ckpt"
    store = "--store=stores/ckplus"
    for path in measures.EXPORTED:
        more = ["--int8", store] if "int8" in path else []
        run("export", checkpoint, f"--output={path}", *more)
    faces = Store.open(Path("stores/ckplus")).faces
    Image.fromarray(faces[4]).save(measures.FACE)


def make_losses() -> None:
    """The state of every loss."""
    Path("losses").mkdir()
    for name, build in measures.losses().items():
        torch.manual_seed(0)
        torch.save(measures.trained(build()).state_dict(), f"losses/{name}.pt")


def keep_files() -> None:
    """Copy what is small and says something, without the names of this machine."""
    shutil.rmtree(FILES, ignore_errors=True)
    for name, patterns in LEFT_OUT.items():
        shutil.copytree(name, FILES / name, ignore=shutil.ignore_patterns(*patterns))
    for name in ("stages.yaml", "stage.yaml"):
        shutil.copy(name, FILES)
    for path in FILES.rglob("*"):
        if path.suffix in TEXTS and "stores" not in path.parts:
            text = path.read_text("utf-8")
            path.write_text(neutral(text), "utf-8")


def keep_expected() -> None:
    """Write the numbers that the files give."""
    shutil.rmtree(EXPECTED, ignore_errors=True)
    EXPECTED.mkdir()
    states = {}
    for name, build in measures.losses().items():
        loss = build()
        loss.load_state_dict(torch.load(f"losses/{name}.pt", weights_only=True))
        states[name] = measures.answers(loss)
    found = {
        "stores": {name: measures.store_table(Path("stores", name)) for name in measures.STORES},
        "loading": measures.loading(Path("stores/ckplus")),
        "resumed": {
            name: Path(f"resumed/{name}/version_0/metrics.csv").read_text("utf-8")
            for name in RESUMED
        },
        "reports": {
            runs: Path(f"reports/{runs}/report.md").read_text("utf-8") for runs in measures.REPORTED
        },
        "probabilities": {
            path: measures.probabilities(Path(path), Path(measures.FACE))
            for path in measures.NETWORKS
        },
        "networks": measures.networks(),
        "losses": states,
        "equations": measures.equations(),
        "sampler": measures.tuples_drawn(),
        "names": measures.names(),
        "class_paths": measures.class_paths(Path()),
        "options": measures.options(),
        "configurations": measures.configurations(),
    }
    for name, value in found.items():
        text = neutral(json.dumps(value, sort_keys=True))
        (EXPECTED / f"{name}.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


def neutral(text: str) -> str:
    """A text without the names of this machine."""
    text = text.replace(str(PLACE), MOVED).replace(str(ROOT), SOURCE)
    return text.replace(platform.platform(), platform.system())


def run(*arguments: str) -> None:
    """Run a command as a user of the release does, and stop where it fails."""
    sys.argv = ["ferlit", *arguments]
    if main(list(arguments)) != 0:
        raise SystemExit(f"ferlit {' '.join(arguments)} failed")


if __name__ == "__main__":
    make()
