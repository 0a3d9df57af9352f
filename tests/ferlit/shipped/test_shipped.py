"""The networks that come with ferlit: what they are, what they answer, and how they are named."""

import json
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ferlit import Recogniser, shipped
from ferlit.archives import read_checkpoint
from ferlit.cli import main
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.loading import load_classifier
from ferlit.packed import description_of, read_packed, write_packed
from ferlit.runs.people import Training
from tests.ferlit.inference.faces import portrait, scene
from tests.ferlit.shipped.known_faces import ANSWERS, FACES, answers, differences, known_faces

MOST_BYTES = 15_000_000  # of a wheel, for all of them
ROUNDING = 2e-3
KNOWN = json.loads(ANSWERS.read_text())


def test_they_are_small_enough_for_a_wheel_and_each_has_a_card() -> None:
    files = [path for path in shipped.FOLDER.iterdir() if path.suffix != ".py" and path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert shipped.names()[0] == shipped.DEFAULT
    endings = (".json", ".md", ".safetensors")
    assert sorted(path.name for path in files) == sorted(
        f"{name}{ending}" for name in shipped.names() for ending in endings
    )


@pytest.mark.parametrize("name", shipped.names())
def test_the_known_faces_get_the_known_answers(name: str) -> None:
    """Fails where the order of the labels, the preprocessing or the weights shift."""
    assert differences(answers(load_classifier(shipped.place_of(name))), KNOWN[name]) < ROUNDING
    labels = {max(each, key=each.__getitem__) for each in KNOWN[name]}
    assert len(labels) > 1  # else it could not tell


@pytest.mark.parametrize("name", shipped.names())
@pytest.mark.parametrize("change", ["labels", "equalize", "fit_plane", "temperature"])
def test_a_swapped_file_does_not_give_them(name: str, change: str, tmp_path: Path) -> None:
    """Written whole, with checksums that are right: only the answers can tell."""
    content = read_packed(shipped.place_of(name))
    if change == "labels":
        for holder in (content, content["hyper_parameters"]):
            holder["classes"] = [*holder["classes"][1:], holder["classes"][0]]
    elif change == "temperature":
        content["temperature"] *= 1.5
    else:
        content["preprocessing"][change] = not content["preprocessing"][change]
    path = tmp_path / f"{name}.safetensors"
    write_packed(path, content)
    found = answers(load_classifier(path))
    assert differences(found, KNOWN[name]) > 10 * ROUNDING


@pytest.mark.parametrize("name", shipped.names())
def test_a_description_that_was_edited_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.safetensors"
    shutil.copy(shipped.place_of(name), path)
    said = description_of(shipped.place_of(name)).read_text(encoding="utf-8")
    description_of(path).write_text(said.replace("anger", "ANGER", 1), encoding="utf-8")
    with pytest.raises(FerlitError, match="it was changed since"):
        load_classifier(path)


@pytest.mark.parametrize("name", shipped.names())
def test_each_says_where_it_comes_from_and_whom_it_has_seen(name: str) -> None:
    content = read_checkpoint(Path(name))
    assert content["databases"]
    assert content["licence"].startswith("trained on")
    (split, *_) = Training.read(Path(name)).splits
    assert split.database == content["databases"][0]
    assert len(split.faces["train"]) > 20_000
    card = shipped.place_of(name).with_suffix(".md").read_text(encoding="utf-8")
    assert "/work" not in card
    assert "/home" not in card
    assert description_of(shipped.place_of(name)).read_text(encoding="utf-8").count("/") < 20


def test_a_recogniser_without_a_model_takes_the_first(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ferlit"):
        recogniser = Recogniser(landmarks="none")
    assert f"no model is named: {shipped.DEFAULT} is taken, which comes with ferlit" in caplog.text
    (face,) = recogniser.recognise(known_faces()[0])
    (named,) = Recogniser(shipped.DEFAULT, landmarks="none").recognise(known_faces()[0])
    assert face.probabilities == named.probabilities


def test_what_it_expects_is_said_and_may_be_chosen(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ferlit"):
        (unsaid,) = Recogniser(landmarks="none").recognise(known_faces()[0])
    expected = load_classifier(shipped.place_of(shipped.DEFAULT)).expected  # type: ignore[attr-defined]
    assert ("alike often" in caplog.text) == (expected == "uniform")
    (same,) = Recogniser(landmarks="none", prior=expected).recognise(known_faces()[0])
    assert unsaid.probabilities == same.probabilities


def test_the_command_line_needs_no_model(
    landmark_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "people.png"
    Image.fromarray(scene(portrait(0, "happiness"), portrait(1, "surprise", 260))).save(picture)
    models = f"--landmark-models={landmark_models}"
    assert main(["recognise", str(picture), "--format=csv", models]) == 0
    said = capsys.readouterr()
    assert f"no model is named: {shipped.DEFAULT}" in said.err
    assert len(said.out.splitlines()) == 3
    assert main(["recognise", str(picture), "--format=csv", models, "--model=ferplus"]) == 0
    assert capsys.readouterr().out == said.out


def test_a_face_that_no_expression_fits_is_unsure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "S1"
    pictures.mkdir()
    for number, face in enumerate(known_faces()[:4]):
        cv2.imwrite(str(pictures / f"{number}.png"), face)
    options = ["recognise", str(pictures), "--aligned", "--sequence=mean"]
    assert main([*options, "--format=jsonl", "--least=1"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["label"] for row in rows] == ["unsure"] * 5
    assert all(row["probability"] == max(row["probabilities"].values()) for row in rows)
    assert main([*options, "--format=table", "--least=1"]) == 0
    assert "perhaps" in capsys.readouterr().out
    assert main([*options, "--format=jsonl", "--least=0"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "unsure" not in {row["label"] for row in rows}


def test_least_is_a_probability(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognise", str(FACES), "--aligned", "--least=60"]) == 2
    assert "least=60.0: a probability, from 0 to 1" in capsys.readouterr().err


def test_the_list_and_the_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    for name in shipped.names():
        assert f"{name}" in listed
        assert main(["models", name]) == 0
        assert "## Limits" in capsys.readouterr().out
    assert main(["models", "resnet"]) == 2
    assert "known" in capsys.readouterr().err


def test_a_name_wins_over_a_folder_of_that_name_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.place_of("ferplus").is_file()
    assert caplog.text == ""
    (tmp_path / "ferplus").mkdir()
    assert shipped.place_of("ferplus").parent == shipped.FOLDER
    assert "write ./ferplus for what lies here" in caplog.text
    assert shipped.place_of(Path("./ferplus/x")) == Path("ferplus/x")


def test_a_model_that_is_not_there_says_which_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognise", str(FACES), "--aligned", "--model=ferplsu"]) == 1
    assert "a name of `ferlit models` (ferplus" in capsys.readouterr().err


def test_a_training_goes_on_from_it_with_faces_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three expressions of five people, in folders."""
    rng = np.random.default_rng(0)
    for number, face in enumerate(known_faces()):
        expression = ("anger", "happiness", "surprise")[number % 3]
        for copy in range(3):
            folder = tmp_path / "mine" / expression
            folder.mkdir(parents=True, exist_ok=True)
            noisy = np.clip(face + rng.normal(0, 4, face.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"P{number // 3}_{copy}.png"), noisy)
    options = ["fit", "--config=finetune.yaml", f"--data.root={tmp_path / 'mine'}"]
    data = [
        f"--data.store={tmp_path / 'store'}",
        "--data.landmarks=none",
        r"--data.reader.identity=(?P<identity>P\d)_",
        "--data.fold=0",
        "--data.folds=3",
        "--data.num_workers=0",
    ]
    trainer = ["--trainer.max_epochs=3", f"--trainer.logger.save_dir={tmp_path / 'runs'}"]
    assert main([*options, *data, *trainer, "--trainer.accelerator=cpu"]) == 0
    said = capsys.readouterr()
    assert "the class layer" in said.err or "its classes are neutral" in said.err + said.out
    run = tmp_path / "runs" / "finetune" / "version_0"
    training = Training.read(run / "checkpoints" / "best.ckpt")
    assert [split.database for split in training.splits] == ["folder", "ferplus"]
