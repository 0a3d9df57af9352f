"""The page about real runs: what is on it, what it needs, and that it needs nothing else."""

import os
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.errors import DataError
from ferlit.report.features import read_features
from ferlit.report.page import HTML, MARKDOWN, make_report
from ferlit.report.study import find_study
from ferlit.training import JointModule
from tests.ferlit.tiny import TINY

SYSTEMS = ("softmax", "2b_nm")
FOLDS = (0, 1)
_VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that every element is closed, and gathers what the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.identifiers: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        self._gather(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._gather(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def _gather(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "poster", "data"):
                self.references.append(value or "")
            if name == "id":
                self.identifiers.append(value or "")

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def runs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems on two of four folds, laid out as a cross-validation."""
    folder = tmp_path_factory.mktemp("study") / "runs"
    for system in SYSTEMS:
        for fold in FOLDS:
            options = [
                "--config=ckplus.yaml",
                f"--config=systems/{system}.yaml",
                f"--data.store={store.folder}",
                f"--data.fold={fold}",
                "--data.folds=4",
                "--data.num_workers=0",
                *TINY,
                "--model.optimizer.lr=0.03",  # else two networks of one epoch answer alike
                "--trainer.accelerator=cpu",
                "--trainer.max_epochs=1",
                "--trainer.log_every_n_steps=1",
                f"--trainer.logger.save_dir={folder / system}",
                "--trainer.logger.name=seed_0",
                f"--trainer.logger.version=fold_{fold}",
            ]
            assert main(["fit", *options]) == 0
    return folder


@pytest.fixture(scope="module")
def report(runs: Path) -> Path:
    output = runs.parent / "report"
    assert main(["report", "--runs", str(runs.parent), "--output", str(output)]) == 0
    return output


def predictions_of(runs: Path, system: str) -> pd.DataFrame:
    folders = [runs / system / "seed_0" / f"fold_{fold}" for fold in FOLDS]
    return pd.concat([pd.read_csv(folder / "predictions.csv") for folder in folders])


def test_the_page_is_well_formed_and_needs_nothing_from_outside(report: Path) -> None:
    text = (report / HTML).read_text(encoding="utf-8")
    page = Page(text)
    assert all(target.startswith(("#", "data:image/png;")) for target in page.references)
    assert {"script", "link", "iframe", "object"} & set(page.tags) == set()
    assert re.findall(r"@import|url\((?!#)", text) == []
    assert len(page.identifiers) == len(set(page.identifiers))
    inside = {target[1:] for target in page.references if target.startswith("#")}
    assert inside <= set(page.identifiers)
    assert "prefers-color-scheme: dark" in text
    assert page.tags.count("svg") == 2 + 2 + 4  # curves; maps of one and of two features


def test_every_system_has_its_counts_in_both_forms(report: Path, runs: Path) -> None:
    page, markdown = Page((report / HTML).read_text()), (report / MARKDOWN).read_text()
    for system in SYSTEMS:
        table = predictions_of(runs, system)
        right = f"{(table['label'] == table['predicted']).sum()} of {len(table)}"
        wrong = f"{(table['label'] != table['predicted']).sum()} of {len(table)} images wrong"
        for text in (page.text, markdown):
            assert system in text
            assert right in text
            assert wrong in text
            assert "4 subject-independent folds, 2 of them tested here" in text
            assert "first right more often" in text  # of several seeds
            assert "ML: embedding of the metric branch" in text
    assert f"{len(table)} images, {table['sequence'].nunique()} sequences" in page.text


def test_synthetic_faces_never_stand_beside_the_papers_figures(report: Path) -> None:
    """The store's database is named ckplus: its counts tell that it is another one."""
    for name in (HTML, MARKDOWN):
        text = (report / name).read_text()
        assert "The paper's figures are left out" in text.replace("&#39;", "'")
        assert "97.1" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_markdown_shows_pictures_that_are_there(report: Path) -> None:
    names = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (report / MARKDOWN).read_text())
    assert len(names) == 2 + 6 + 2 + 2  # curves, maps, confusion matrices, mistakes
    for name in names:
        with Image.open(report / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5


def test_features_are_those_of_the_network_at_its_test(runs: Path, tmp_path: Path) -> None:
    run = find_study(runs).systems["2b_nm"][1]
    features = read_features(run, tmp_path)
    module = JointModule.load_from_checkpoint(run.checkpoint, weights_only=True).eval()
    branch = module.branches.classification  # type: ignore[union-attr]
    with torch.inference_mode():
        logits = branch.logits(torch.from_numpy(features.hidden))  # type: ignore[operator]
    np.testing.assert_allclose(
        logits.softmax(1).numpy(), run.predictions[list(run.tested.classes)], atol=1e-5
    )
    assert features.embedding is not None
    assert features.embedding.shape == (len(run.predictions), 128)
    softmax = find_study(runs).systems["softmax"][0]
    assert read_features(softmax, tmp_path).embedding is None  # it has one branch


def test_damaged_features_are_computed_again(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = find_study(runs).systems["2b_nm"][1]
    expected = read_features(run, tmp_path).hidden
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for place, length in ((len(whole) // 2, len(whole)), (0, len(whole) - 99), (0, 0)):
        content = bytearray(whole[:length])
        if length:
            content[place] ^= 1
        path.write_bytes(content)
        caplog.clear()
        np.testing.assert_allclose(read_features(run, tmp_path).hidden, expected, atol=1e-6)
        assert f"{path}: damaged" in caplog.text


def test_features_are_those_of_one_checkpoint_and_of_one_tests_predictions(
    runs: Path, tmp_path: Path
) -> None:
    run = find_study(runs).systems["2b_nm"][1]
    read_features(run, tmp_path / "features")
    status = run.checkpoint.stat()
    other = replace(run, folder=Path(shutil.copytree(run.folder, tmp_path / "run")))
    shutil.copy(find_study(runs).systems["2b_nm"][0].checkpoint, other.checkpoint)
    os.utime(other.checkpoint, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError, match="does not give the probabilities"):
        read_features(other, tmp_path / "features")
    moved = replace(run, folder=Path(shutil.copytree(run.folder, tmp_path / "moved")))
    read_features(moved, tmp_path / "features")
    assert len(list((tmp_path / "features").iterdir())) == 1  # the same bytes elsewhere


def test_the_second_report_computes_no_features_again(report: Path, runs: Path) -> None:
    kept = {path: path.stat().st_mtime_ns for path in (report / "features").iterdir()}
    assert len(kept) == len(SYSTEMS) * len(FOLDS)
    before = (report / MARKDOWN).read_text().split("## Accuracy")[1]
    make_report(runs, report)
    assert {path: path.stat().st_mtime_ns for path in (report / "features").iterdir()} == kept
    assert (report / MARKDOWN).read_text().split("## Accuracy")[1] == before


def test_without_store_and_checkpoint_the_rest_of_the_page_stays(
    runs: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "runs"
    shutil.copytree(runs, copy)
    (copy / "softmax/seed_0/fold_0/checkpoints/best.ckpt").unlink()
    gone = tmp_path / "gone"
    for path in copy.rglob("*"):
        if path.name in ("config.yaml", "run.json"):
            path.write_text(path.read_text().replace(str(store.folder), str(gone)))
    output = tmp_path / "report"
    assert main(["report", "--runs", str(copy), "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "note: softmax, seed 0, fold 0: there is no checkpoint" in told
    assert f"note: softmax, seed 0, fold 1: {gone}: no prepared store" in told
    page = Page((output / HTML).read_text())
    assert "Skipped: no run has a checkpoint, a store" in page.text
    assert page.tags.count("svg") == 2  # the training curves
    table = predictions_of(runs, "softmax")
    assert f"{(table['label'] == table['predicted']).sum()} of {len(table)}" in page.text


def test_a_map_by_a_missing_package_is_bad_usage(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    options = ["--runs", str(runs), "--output", str(tmp_path / "report"), "--map", "umap"]
    assert main(["report", *options]) == 2
    assert "pip install umap-learn" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_checkpoint_that_is_not_the_tested_one_is_not_looked_into(
    runs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "2b_nm" / "seed_0" / "fold_0"
    shutil.copytree(runs / "2b_nm/seed_0/fold_0", folder)
    shutil.copy(runs / "2b_nm/seed_0/fold_1/checkpoints/best.ckpt", folder / "checkpoints")
    problems = make_report(tmp_path / "runs", tmp_path / "report").problems
    assert "does not give the probabilities in predictions.csv" in problems[0]
