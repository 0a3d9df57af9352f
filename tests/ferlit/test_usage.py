"""What a person may mistype or damage on a command line, and the exit codes of that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ferlit.cli import main
from ferlit.configurations import find_config
from ferlit.data.store import Store
from ferlit.errors import DataError, UsageError
from tests.ferlit.training.fits import ROOT, environment, fit_options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fit", "--config=no_such.yaml"], "no configuration no_such.yaml"),
        (["fit", "--config=configs"], "no configuration configs (a folder of that name"),
        (["stages", "--config=no_such.yaml", "--output=x"], "no configuration no_such.yaml"),
        (["crossval", "--config=no_such.yaml", "--output=x"], "no configuration no_such.yaml"),
        (["fit", "--config=ckplus.yaml"], "no data: give the folder of the database"),
        (["fit", "--config=fer2013.yaml"], "no data"),
        (["fit", "--config=ckplus.yaml", "--model.softmax_on=none"], "softmax_on"),
    ],
)
def test_what_is_mistyped_is_bad_usage(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        code = main(options)
    except SystemExit as stop:
        code = int(stop.code or 0)
    error = capsys.readouterr().err
    assert message in error
    assert code == 2, error


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--data.fold=4", "fold=4: the folds are numbered 0 to 3"),
        ("--data.fold=-1", "fold=-1"),
        ("--model.label_smoothing=2", "ferlit fit: label_smoothing=2.0: from 0 to below 1\n"),
        ("--data.folds=2", "folds=2: training, validation and test need at least 3 folds"),
        ("--data.database=fer2013", "is a store of ckplus"),
        ("--data.database=fer2031", "is a store of ckplus, not of fer2031"),
    ],
)
def test_a_fold_or_database_that_is_not_there_is_bad_usage(
    store: Store, tmp_path: Path, more: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(store.folder, tmp_path / "runs", more)
    if more.startswith("--data.folds"):
        options.remove("--data.folds=4")
    try:
        code = main(options)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert message in capsys.readouterr().err
    assert code == 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# Köln\nmodel: {}\n".encode("latin-1"), "not a text in UTF-8 (byte 3 is 0xf6)"),
        ("model: {}\n".encode("utf-16"), "not a text in UTF-8 (byte 0 is 0xff)"),
        (b"model: [1, 2\ndata: {}\n", "not YAML"),
        (b"data:\n\tfold: 1\n", "not YAML: while scanning"),
        (b"", "found nothing"),
        (b"# only a remark\n", "found nothing"),
        (b"- data\n- model\n", "found seq"),
        (b"ckplus\n", "found str"),
        (
            b"data:\n  fold: 1\nmodel: {}\ndata:\n  fold: 2\n",
            "data is there twice, in lines 1 and 4",
        ),
        (b"data:\n  init_args: {fold: 1, folds: 4, fold: 2}\n", "fold is there twice, in lines 2"),
        (b"data: \x00\n", "not YAML"),
    ],
)
def test_a_damaged_configuration_is_refused_by_its_name(
    tmp_path: Path, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    for command in (["fit"], ["stages", "--output=x"], ["crossval", "--output=x"]):
        assert main([*command, f"--config={path}"]) == 1, command
        assert f"{path}: " in (error := capsys.readouterr().err)
        assert message in error
        assert "Traceback" not in error


def test_a_configuration_may_have_a_mark_of_its_encoding_and_merge_keys(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a {x: 1}\nb: {<<: *a, <<: *a}\nc: *a\n", encoding="utf-8-sig")
    assert find_config(str(path)) == path
    with pytest.raises(UsageError, match="no configuration"):
        find_config(f"{path}.bak")
    path.chmod(0)
    if os.geteuid():
        with pytest.raises(DataError, match="cannot be read"):
            find_config(str(path))


@pytest.mark.parametrize(
    "switch",
    [
        "--trainer.enable_progress_bar=false",
        "--trainer.enable_checkpointing=false",
        "--trainer.enable_model_summary=false",
        "--trainer.callbacks=null",
    ],
)
def test_what_is_there_by_default_can_be_switched_off(
    store: Store, tmp_path: Path, switch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=1")
    assert main(fit_options(store.folder, tmp_path / "runs", *quick, switch)) == 0
    run = tmp_path / "runs" / "ckplus" / "version_0"
    assert (run / "metrics.csv").is_file()
    assert (run / "checkpoints").exists() == ("checkpointing" not in switch)


def test_switches_that_exclude_each_other_are_bad_usage(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fit_options(store.folder, tmp_path / "runs", "--trainer.barebones=true")) == 2
    assert "barebones" in capsys.readouterr().err


def in_ascii(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    terminal = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, "-m", "ferlit", *arguments],
        cwd=ROOT,
        env={**environment(), **terminal, "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        check=False,
        timeout=300,
    )


def test_a_terminal_in_ascii_ends_no_command(store: Store, tree: Path, tmp_path: Path) -> None:
    fit = in_ascii(
        tmp_path, *fit_options(store.folder, tmp_path / "runs", "--trainer.max_epochs=1")
    )
    assert fit.returncode == 0, fit.stderr.decode("ascii")
    assert b"epoch 1/1" in fit.stdout + fit.stderr
    run = tmp_path / "runs" / "ckplus" / "version_0"
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    picture = next(tree.rglob("*.png"))
    (pictures / "été ±.png").write_bytes(picture.read_bytes())
    checkpoint = f"{run / 'checkpoints' / 'best.ckpt'}"
    for arguments in (
        ["prepare", "--database=ckplus", f"--root={tree}", f"--output={tmp_path / 'store'}"],
        ["recognise", f"--model={checkpoint}", "--aligned", str(pictures)],
        ["report", f"--runs={tmp_path / 'runs'}", f"--output={tmp_path / 'report'}"],
        ["export", f"--checkpoint={checkpoint}", f"--output={tmp_path / 'model.pt2'}"],
        ["crossval", "--help"],
        ["demo", "--help"],
    ):
        done = in_ascii(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr.decode("ascii")
        (done.stdout + done.stderr).decode("ascii")
    assert "Traceback" not in fit.stderr.decode("ascii")
