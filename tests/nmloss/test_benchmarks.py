"""The benchmark of embeddings: its data, its choice of losses, its tables."""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

import nmloss
from benchmarks.embeddings import faces
from benchmarks.embeddings.command import main
from benchmarks.embeddings.descriptors import gradient_histograms
from benchmarks.embeddings.digits import make_digits
from benchmarks.embeddings.images import PERSONS
from benchmarks.embeddings.losses import choice
from benchmarks.embeddings.tables import holm, paired


def table_of_faces() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        (emotion, " ".join(map(str, rng.integers(0, 256, 48 * 48))), usage)
        for usage, count in faces.PARTS.values()
        for emotion in faces.EMOTIONS
        for _ in range(count)
    ]
    return pd.DataFrame(rows, columns=["emotion", "pixels", "Usage"])


@pytest.fixture
def few_faces(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    few = {split: (usage, 28) for split, (usage, _) in faces.PARTS.items()}
    monkeypatch.setattr(faces, "PARTS", few)
    return table_of_faces()


def test_no_face_is_of_two_parts_and_each_person_shows_two_of_three(
    few_faces: pd.DataFrame,
) -> None:
    images = faces.make_faces(few_faces)
    assert images.inputs.shape == (3 * 3 * 28, 900)
    assert sum(len(images.part(split).labels) for split in PERSONS) == len(images.labels)
    for person in range(40):
        assert len(images.labels[images.persons == person].unique()) == 2
    again = faces.make_faces(few_faces)
    assert torch.equal(images.inputs, again.inputs)


def test_too_few_faces_are_named(few_faces: pd.DataFrame) -> None:
    with pytest.raises(SystemExit, match="27 faces of surprise in PrivateTest, needed are 28"):
        faces.make_faces(few_faces.iloc[:-1])


def test_votes_of_other_faces_are_refused(tmp_path: Path) -> None:
    pixels, votes = tmp_path / "fer2013.csv", tmp_path / "fer2013new.csv"
    pd.DataFrame({"pixels": ["1", "2"], "Usage": ["Training"] * 2}).to_csv(pixels)
    opinions = ["neutral", "happiness", "surprise", "contempt"]
    columns = {name: [int(8 * (name == "surprise"))] * 2 for name in opinions}
    pd.DataFrame({"Usage": ["Training"] * 2, **columns}).to_csv(votes)
    assert faces.read_faces(pixels, votes)["emotion"].tolist() == ["surprise"] * 2
    pd.DataFrame({"Usage": ["Training", "PublicTest"], **columns}).to_csv(votes)
    with pytest.raises(SystemExit, match="not of the same faces"):
        faces.read_faces(pixels, votes)
    with pytest.raises(SystemExit, match=r"--ferplus is missing; needed is fer2013new\.csv"):
        faces.read_faces(pixels, None)
    with pytest.raises(SystemExit, match="no column pixels"):
        faces.read_faces(votes, votes)


def test_the_digits_are_those_of_the_published_figures() -> None:
    images = make_digits()
    assert len(images.part("train").labels) == 948
    assert len(images.part("test").labels) == 420
    assert images.inputs.double().sum().item() == pytest.approx(25190.5066, abs=1e-2)


def test_gradients_of_one_angle_fill_one_bin() -> None:
    ramp = np.tile(np.arange(48.0), (2, 48, 1))
    ramp[1] = ramp[1].T  # 90 degrees: half way between the fifth bin and the sixth
    found = gradient_histograms(ramp).reshape(2, 25, 9, 4)
    np.testing.assert_allclose(found[0, :, 0], 64 / (128 + 0.02))
    np.testing.assert_allclose(found[1, :, [4, 5]], 32 / (32 * 8**0.5 + 0.02))
    assert (found > 0).sum() == 25 * 4 + 25 * 8


def test_losses_are_chosen_by_name_and_options() -> None:
    chosen = choice("AdaptiveNMTupleClustersLoss:learn=threshold,sharpness=2,rate=0.1")
    loss_fn = chosen.make()
    assert isinstance(loss_fn, nmloss.AdaptiveNMTupleClustersLoss)
    assert (loss_fn.sharpness, chosen.rate, chosen.batches) == (2, 0.1, ("identity tuples",))
    assert [name for name, w in loss_fn.named_parameters() if w.requires_grad] == ["bias"]
    assert len(choice("ContrastiveLoss").batches) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TripletLoss", "known are NMTupleClustersLoss"),
        ("CoupledClustersLoss:sharpness=-1", "sharpness=-1"),
        ("CoupledClustersLoss:softness=1", "softness"),
        ("CoupledClustersLoss:margin", "'margin' is no option=value"),
        ("CoupledClustersLoss:margin=1,margin=2", "'margin=2'"),
    ],
)
def test_a_loss_that_there_is_not_is_refused(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        choice(text)


def test_holm_corrects_in_order() -> None:
    """By hand: 3 x .01; 2 x .03; 1 x .04, but not below the one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_paired_test_is_one_of_the_differences() -> None:
    first, second = [91.0, 90.5, 92.0, 89.5], [90.0, 90.0, 90.5, 89.0]
    expected = ttest_1samp(np.subtract(first, second), 0).pvalue
    assert paired(first, second) == pytest.approx(expected)
    assert paired(first, first) == 1


def test_scores_are_kept_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, names = tmp_path / "scores.jsonl", ("CoupledClustersLoss", "NPlusOneTupletLoss")
    with kept.open("w") as file:
        for name, gain in zip(names, (0, 3), strict=True):
            for seed in (0, 1, 2):
                run = ["digits", "test", name, "identity tuples", seed, 6, 0.003]
                scores = [90.0 + gain + gain * seed / 10] * 6
                file.write(json.dumps({"run": run, "scores": scores}) + "\n")
    arguments = ["--data", "digits", "--batches", "tuples", "--scores", str(kept), "--losses"]
    main([*arguments, *names, "--against", names[0]])
    printed = capsys.readouterr()
    assert printed.err == ""  # nothing was trained
    p = ttest_1samp([3, 3.3, 3.6], 0).pvalue
    assert f"+3.3 ± 0.3, p {p:.3f}" in printed.out
    assert "93.3 ± 0.3" in printed.out
    with pytest.raises(SystemExit):
        main([*arguments, *names, "--against", "SupConLoss"])
    assert "not one of --losses" in capsys.readouterr().err
