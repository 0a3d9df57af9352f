import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ferlit.cli import main
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.data.picture_files import smooth_noise
from tests.ferlit.full_disk import largest_file
from tests.ferlit.inference.conftest import Trained
from tests.ferlit.inference.faces import portrait, scene, write_video

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces, one face, and none; a text file that is no picture lies beside them."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "day").mkdir()
    one, two = portrait(0, "happiness"), portrait(1, "surprise", 260)
    Image.fromarray(scene(one, two)).save(folder / "both.png")
    Image.fromarray(scene(one)).convert("RGB").save(folder / "day" / "one.jpg")
    Image.fromarray(np.full((480, 640), 90, np.uint8)).save(folder / "day" / "wall.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.avi"
    faces = [scene(portrait(seed, "anger")) for seed in (0, 1, 2)]
    write_video(str(path), [*faces, np.full((480, 640), 90, np.uint8), *faces])
    return path


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def json_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_format_says_the_same(
    trained: Trained, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = ["--output", str(tmp_path / "a.csv"), "--output", str(tmp_path / "a.jsonl")]
    model = ["recognise", "--model", str(trained.checkpoint), str(pictures)]
    assert main([*model, *outputs, "--points"]) == 0
    assert capsys.readouterr().out == ""
    table = rows_of((tmp_path / "a.csv").read_text())
    lines = json_rows(tmp_path / "a.jsonl")
    names = [Path(row["source"]).name for row in table]
    assert names == ["both.png", "both.png", "one.jpg", "wall.png"]
    assert [row["face"] for row in table] == ["0", "1", "0", ""]
    faces = Recogniser(trained.checkpoint).recognise(pictures / "both.png")
    for row, line, face in zip(table[:2], lines[:2], faces, strict=True):
        assert row["label"] == line["label"] == face.label
        assert [float(row[edge]) for edge in ("left", "top", "right", "bottom")] == line["box"]
        assert line["box"] == pytest.approx(face.box)
        for name, value in face.probabilities.items():
            assert float(row[name]) == line["probabilities"][name]
            assert line["probabilities"][name] == pytest.approx(value, abs=1e-6)
        np.testing.assert_allclose(line["points"], face.points)
    empty = {name: value for name, value in table[3].items() if value}
    assert empty == {"level": "face", "source": str(pictures / "day" / "wall.png")}
    assert lines[3]["label"] is None

    for shape in ("csv", "jsonl"):
        assert main([*model, "--format", shape]) == 0
        printed = capsys.readouterr().out
        if shape == "csv":
            assert rows_of(printed) == table
        else:
            plain = [{k: v for k, v in line.items() if k != "points"} for line in lines]
            assert [json.loads(line) for line in printed.splitlines()] == plain


def test_the_table_is_for_people(
    trained: Trained, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (face, _) = Recogniser(trained.checkpoint).recognise(pictures / "both.png")
    options = ["--model", str(trained.checkpoint), str(pictures / "both.png")]
    assert main(["recognise", *options, str(pictures / "day" / "wall.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "expression" in lines[0]
    assert f"{face.label} " in lines[1]
    assert f"{100 * face.probability:.0f} %" in lines[1]
    assert "wall.png" in lines[3]
    assert "no face" in lines[3]


def test_annotated_copies_are_laid_out_as_the_sources_and_show_the_boxes(
    trained: Trained, pictures: Path, film: Path, tmp_path: Path
) -> None:
    out = tmp_path / "annotated"
    options = ["--model", str(trained.checkpoint), str(pictures), str(film)]
    assert main(["recognise", *options, "--output", str(out), "--format", "csv"]) == 0
    copies = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    top = pictures.name
    assert copies == {f"{top}/both.png", f"{top}/day/one.jpg", f"{top}/day/wall.png", "film.avi"}
    before = np.asarray(Image.open(pictures / "both.png").convert("RGB"))
    after = np.asarray(Image.open(out / top / "both.png"))
    changed = (before != after).any(axis=2)
    for face in Recogniser(trained.checkpoint).recognise(pictures / "both.png"):
        left, top_edge, right, bottom = (round(edge + 0.5) for edge in face.box)
        middle = (left + right) // 2
        assert changed[bottom, left:right].all()
        assert changed[top_edge : bottom + 1, [left, right]].all()
        assert not changed[(top_edge + bottom) // 2, middle]
    wall = np.asarray(Image.open(out / top / "day" / "wall.png"))
    assert (wall == 90).all()
    video = cv2.VideoCapture(str(out / "film.avi"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 7
    assert video.get(cv2.CAP_PROP_FPS) == 10


@pytest.mark.parametrize("name", ["out.avi", "out.mp4", "out.mkv", "out.mov"])
def test_an_annotated_video_has_every_frame(
    trained: Trained, film: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "new" / name
    options = ["--model", str(trained.checkpoint), str(film), "--output", str(output)]
    assert main(["recognise", *options]) == 0
    video = cv2.VideoCapture(str(output))
    count = 0
    while video.read()[0]:
        count += 1
    assert count == 7


def test_a_small_picture_is_enlarged_for_its_label(trained: Trained, tmp_path: Path) -> None:
    Image.fromarray(portrait(0, "fear", 48)).save(tmp_path / "face.png")
    options = ["--model", str(trained.checkpoint), "--aligned", str(tmp_path / "face.png")]
    assert main(["recognise", *options, "--output", str(tmp_path / "large.png")]) == 0
    assert Image.open(tmp_path / "large.png").size == (320, 320)


def test_a_video_gets_a_row_a_frame_and_an_answer_by_the_models_rule(
    trained: Trained, film: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    options = ["--model", str(trained.checkpoint), str(film), "--output", str(rows)]
    assert main(["recognise", *options]) == 0
    *frames, answer = json_rows(rows)
    assert [row["frame"] for row in frames] == [0, 1, 2, 3, 4, 5, 6]
    assert [row["label"] is None for row in frames] == [False] * 3 + [True] + [False] * 3
    best = max((row for row in frames if row["label"]), key=lambda row: float(row["probability"]))
    assert answer["level"] == "sequence"
    assert answer["rule"] == trained.store.description.sequence_rule == "max"
    assert (answer["frames"], answer["frames_with_face"]) == (7, 6)
    assert answer["label"] == best["label"]
    assert answer["probability"] == best["probability"]

    assert main(["recognise", *options, "--sequence", "none"]) == 0
    assert [row["level"] for row in json_rows(rows)] == ["face"] * 7


def test_folders_of_frames_get_the_answers_of_the_evaluation(
    trained: Trained, tmp_path: Path
) -> None:
    frames = trained.store.records.iloc[:9]
    sources = [str(trained.tree / name) for name in frames["image"]]
    rows = tmp_path / "rows.csv"
    options = ["--model", str(trained.checkpoint), "--sequence", "mean", "--output", str(rows)]
    assert main(["recognise", *options, *sources]) == 0
    table = rows_of(rows.read_text())
    answers = {row["source"]: row for row in table if row["level"] == "sequence"}
    folders = {str(Path(source).parent) for source in sources}
    assert set(answers) == folders
    classes = trained.store.description.classes
    for folder, answer in answers.items():
        votes = [
            [float(row[name]) for name in classes]
            for row in table
            if row["level"] == "face" and str(Path(row["source"]).parent) == folder
        ]
        assert len(votes) == 3
        mean = np.mean(votes, axis=0)
        assert answer["label"] == classes[int(mean.argmax())]
        assert float(answer["probability"]) == pytest.approx(mean.max())


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(
    trained: Trained, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    whole = (pictures / "both.png").read_bytes()
    (broken / "cut.png").write_bytes(whole[: len(whole) // 2])
    (broken / "empty.jpg").touch()
    (broken / "text.avi").write_text("not a video")
    (broken / "damaged.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    rows = tmp_path / "rows.csv"
    options = ["--model", str(trained.checkpoint), "--output", str(rows)]
    sources = [str(broken), str(tmp_path / "none.png"), str(pictures / "both.png")]
    assert main(["recognise", *options, *sources]) == 1
    errors = capsys.readouterr().err
    for name in ("cut.png", "empty.jpg", "text.avi", "damaged.mp4", "none.png"):
        assert errors.count(name) == 1, name
    assert "5 of 6 sources could not be read" in errors
    assert {row["source"] for row in rows_of(rows.read_text())} == {str(pictures / "both.png")}


def test_what_looks_like_a_picture_and_is_not_read_is_named(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    face = Image.fromarray(smooth_noise(48))
    face.save(folder / "a.jfif", format="JPEG")
    face.save(folder / "photo without ending", format="PNG")
    face.save(folder / "b.gif", save_all=True, append_images=[face.rotate(90)])
    Image.new("L", (48, 48), 9).save(folder / "c.png")
    Image.fromarray(np.asarray(face, np.uint16) * 4).save(folder / "d.tif")
    (folder / "e.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    (folder / "f.zip").write_bytes(b"PK\3\4")
    (folder / "g.pdf").write_bytes(b"%PDF-1.4")
    (folder / "notes.txt").write_text("not a picture")
    rows = tmp_path / "rows.csv"
    options = ["--model", str(trained.checkpoint), "--aligned", "--output", str(rows)]
    assert main(["recognise", *options, str(folder)]) == 1
    lines = capsys.readouterr().err.splitlines()
    for name, reason in {
        "b.gif": "it holds 2 pictures",
        "c.png": "the face is plain, of one grey value (9)",
        "d.tif": "low for 16 bits",
        "e.jxl": "JPEG XL is not read",
        "f.zip": "archive is not read; unpack it",
        "g.pdf": "PDF is not read",
    }.items():
        (line,) = (line for line in lines if name in line)
        assert reason in line
    assert "notes.txt" not in " ".join(lines)
    assert "4 of 6 sources could not be read" in lines[-1]
    read = {Path(row["source"]).name for row in rows_of(rows.read_text())}
    assert read == {"a.jfif", "photo without ending"}


@pytest.mark.parametrize("name", ["a.zip", "a.pdf", "a.jxl", "a.psd", "a.svg"])
def test_a_named_file_that_is_not_read_is_an_error(
    name: str, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"x")
    options = ["--model", str(trained.checkpoint), str(tmp_path / name)]
    assert main(["recognise", *options]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / name}: " in said
    assert "is not read" in said


def test_a_folder_without_a_picture_says_what_lies_there(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1.zip", "2.zip", "3.svg", "notes.txt"):
        (tmp_path / name).write_text("x")
    assert main(["recognise", "--model", str(trained.checkpoint), str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}: there is no picture or video in this folder" in said
    assert "2 x archive is not read; unpack it" in said
    assert "SVG is not read" in said
    assert "notes.txt" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none.png"], "none.png: there is no such picture"),
        (["*.nothing"], "no such picture, video or folder"),
        (["{}/both.png", "--output", "{}/both.png"], "would be overwritten"),
        (["{}", "--output", "all.png"], "give a folder"),
        (["{}", "--output", "all.avi"], "give a folder"),
        (["{}", "--output", "all.xlsx"], "unknown ending .xlsx"),
        (["{}", "--output", "/dev/null/rows.csv"], "cannot be written"),
        (["{}", "--output", "/dev/null"], "it is a file, and no folder"),
        (["{}", "--aligned", "--landmarks", "dlib"], "does not go with --landmarks"),
        (["{}", "--device", "cuda:99"], "'cuda:99' cannot be used"),
    ],
)
def test_bad_usage_ends_with_2(
    trained: Trained,
    pictures: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [option.format(pictures) for option in options]
    assert main(["recognise", "--model", str(trained.checkpoint), *given]) == 2
    assert message in capsys.readouterr().err


def test_a_foreign_model_ends_with_1(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = pictures / "notes.txt"
    assert main(["recognise", "--model", str(model), str(pictures)]) == 1
    assert "notes.txt: not a model" in capsys.readouterr().err


def command(trained: Trained, *options: str) -> list[str]:
    start = [sys.executable, "-m", "ferlit", "recognise", "--model", str(trained.checkpoint)]
    return [*start, *options]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(["nmloss/src", "."])}


def test_standard_output_has_the_rows_alone(
    trained: Trained, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = [str(pictures), str(pictures / "none.png"), "77"]  # no picture, no camera
    options = ["--model", str(trained.checkpoint), "--format", "jsonl", *sources]
    assert main(["recognise", *options]) == 1
    printed = capsys.readouterr()
    assert [json.loads(line)["level"] for line in printed.out.splitlines()] == ["face"] * 4
    assert "none.png: there is no such" in printed.err
    assert "camera 77: it cannot be opened" in printed.err


def test_a_reader_that_has_enough_is_no_failure(trained: Trained, pictures: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    options = [str(pictures / "both.png"), "--format", "csv"]
    done = subprocess.run(
        command(trained, *options),
        cwd=ROOT,
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_an_interruption_leaves_what_is_done(trained: Trained, tmp_path: Path) -> None:
    long = tmp_path / "long.avi"
    write_video(str(long), [scene(portrait(0, "fear"))] * 1500)
    rows, copy = tmp_path / "rows.csv", tmp_path / "copy.avi"
    running = subprocess.Popen(
        command(trained, str(long), "--output", str(rows), "--output", str(copy)),
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background ignores SIGINT, and its children would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        if copy.exists() and copy.stat().st_size > 200_000:
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    errors = running.communicate(timeout=60)[1]
    assert running.returncode == 130, errors
    assert "interrupted; to go on:\n  ferlit recognise" in errors
    table = rows_of(rows.read_text())
    assert 0 < len(table) < 1500
    assert all(row["label"] and row["surprise"] for row in table)
    video = cv2.VideoCapture(str(copy))
    assert video.isOpened()
    assert video.read()[0]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "folder", "a.png"])
def test_a_full_disk_is_told_by_the_name_of_the_file(
    trained: Trained, pictures: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / name
    picture = str(pictures / "both.png")
    options = ["recognise", "--model", str(trained.checkpoint), picture, "--output", str(output)]
    with largest_file(100):
        assert main(options) == 1
    errors = capsys.readouterr().err
    assert "File too large" in errors
    assert str(output) in errors


def test_a_name_that_is_no_text_is_written_as_its_bytes(trained: Trained, tmp_path: Path) -> None:
    picture = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.fromarray(scene(portrait(0, "happiness"))).save(picture)
    outputs = ["--output", str(tmp_path / "a.csv"), "--output", str(tmp_path / "a.jsonl")]
    assert main(["recognise", "--model", str(trained.checkpoint), str(picture), *outputs]) == 0
    (row,) = rows_of((tmp_path / "a.csv").read_text(encoding="utf-8"))
    assert row["source"].endswith("caf\\udce9.png")
    (row,) = json_rows(tmp_path / "a.jsonl")
    assert row["source"] == str(picture)
