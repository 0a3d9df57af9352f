"""What looks like an input and is not read is listed, and what belongs to a database is not."""

import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.databases.leftovers import left_over
from ferlit.data.databases.listing import is_stray
from ferlit.data.databases.trees import TREES
from ferlit.data.media.kinds import KINDS
from ferlit.data.preparation import prepare_store
from ferlit.data.records import unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, file_names
from tests.ferlit.data.picture_files import HEIC, encoded, smooth_noise

STRAYS = ("Thumbs.db", ".DS_Store", "ReadMe.txt", "notes.txt", "licence.pdf", "._a.png", "list.csv")


def add(root: Path, *names: str, content: bytes = b"x") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    add(root, "happy/a.png", "sad/b.jfif", "sad/c.PNG", content=encoded(smooth_noise(), "PNG"))
    add(root, *STRAYS)
    return root


@pytest.mark.parametrize("name", [name for name in TREES if name in DATABASES])
def test_only_what_does_not_belong_to_a_database_is_listed(name: str, tmp_path: Path) -> None:
    root, database = tmp_path / "tree", DATABASES[name]
    TREES[name](root)
    add(root, *STRAYS)
    read = database.reader(root, **database.chosen)
    assert left_over(root, read["image"], unread_files(read), database.unused) == {}
    add(root, "more/a.heic", content=HEIC)
    add(root, "more/b.jxl", "more/c.zip", "more/d.mkv")
    add(root, "more/photo", content=encoded(smooth_noise(), "JPEG"))
    add(root, "more/e.png", content=encoded(smooth_noise(), "PNG"))
    records = database.read(root)
    assert records["image"].tolist() == read["image"].tolist()
    unread = {name: why for name, why in unread_files(records).items() if "more" in name}
    if "more" in unread:  # a folder where classes lie is named as a whole
        assert "known are" in unread["more"]
        return
    letters = ("a.heic", "b.jxl", "c.zip", "d.mkv", "e.png", "photo")
    assert list(unread) == [f"more/{letter}" for letter in letters]
    assert unread["more/b.jxl"] == "JPEG XL is not read; convert it to PNG or JPEG"
    assert unread["more/c.zip"] == "archive is not read; unpack it"
    assert unread["more/d.mkv"].startswith("video is not read")
    assert unread["more/e.png"] == "a picture that no record takes from there"
    assert "JPEG by its content" in unread["more/photo"]


def test_a_picture_of_a_kind_that_is_not_read_is_dropped_with_the_reason(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(tree, "sad/d.jxl", "sad/e.psd", "sad/f.JXL")
    add(tree, "sad/scan.pdf", "sad/more.zip")
    options = ["--root", str(tree), "--output", str(tmp_path / "store"), "--landmarks", "none"]
    assert main(["prepare", "--database", "folder", *options]) == 0
    said = capsys.readouterr()
    shown = " ".join(said.out.split())
    assert "6 images found, 3 prepared, 3 dropped" in shown
    assert "2 files or folders were not read" in shown
    assert "1 x archive is not read; unpack it (sad/more.zip)" in shown
    assert "PDF is not read" in shown
    store = prepare_store(
        DATABASES["folder"], tree, tmp_path / "store", landmarks="none", progress=False
    )
    assert sorted(store.description.dropped) == ["sad/d.jxl", "sad/e.psd", "sad/f.JXL"]
    assert sorted(store.description.unread) == ["sad/more.zip", "sad/scan.pdf"]


def test_a_folder_of_unread_pictures_alone_says_so(tmp_path: Path) -> None:
    add(tmp_path / "a", *(f"happy/{number}.jxl" for number in range(5)))
    with pytest.raises(DataError) as error:
        prepare_store(DATABASES["folder"], tmp_path / "a", tmp_path / "store", landmarks="none")
    assert "none of the 5 images could be prepared" in str(error.value)
    assert "happy/0.jxl: JPEG XL is not read" in str(error.value)
    add(tmp_path / "b", *(f"{number}.psd" for number in range(5)), "scans.zip", "page.pdf")
    for name in ("ckplus", "ck48", "kdef", "oulu_casia", "affectnet", "folder", "csv", "fer2013"):
        with pytest.raises(DataError) as error:
            DATABASES[name].read(tmp_path / "b")
        for said in ("5 x Photoshop is not read", "(0.psd, 1.psd, 2.psd, ...)", "scans.zip", "PDF"):
            assert said in str(error.value), (name, said)


def test_of_many_pictures_in_a_folder_the_folder_is_named_with_their_number(tree: Path) -> None:
    picture = encoded(smooth_noise(), "PNG")
    add(tree, *(f"other/{number:02d}.png" for number in range(30)), content=picture)
    found = left_over(tree, ["happy/a.png", "sad/b.jfif", "sad/c.PNG"], {})
    assert found == {
        "other": "pictures that no record takes from there (30: 00.png, 01.png, 02.png, ...)"
    }


def test_a_prepared_store_in_the_root_is_no_input(tree: Path) -> None:
    store = prepare_store(
        DATABASES["folder"], tree, tree / "store", landmarks="none", progress=False
    )
    assert (tree / "store" / "contact_sheet.png").is_file()
    assert left_over(tree, store.records["image"], {}) == {}


def test_a_store_that_stays_says_what_came_since(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = DATABASES["folder"]
    prepare_store(folder, tree, tmp_path / "store", landmarks="none", progress=False)
    assert "not read" not in caplog.text
    add(tree, "x.png", content=encoded(smooth_noise(), "PNG"))
    prepare_store(folder, tree, tmp_path / "store", landmarks="none", progress=False)
    assert "stays as it is; 1 files or folders that it does not mention" in caplog.text
    assert "x.png: the picture lies in no class folder" in caplog.text


def test_pictures_beside_a_table_that_no_row_names_are_listed(tmp_path: Path) -> None:
    Image.fromarray(np.asarray(smooth_noise())).save(tmp_path / "a.png")
    Image.fromarray(np.asarray(smooth_noise())).save(tmp_path / "b.png")
    (tmp_path / "records.csv").write_text("image,expression\na.png,fear\n")
    records = DATABASES["csv"].read(tmp_path)
    assert unread_files(records) == {"b.png": "a picture that no record takes from there"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
def test_a_pipe_is_not_waited_for_and_a_whole_disk_is_not_searched(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    add(tmp_path, *(f"{number}/a.jxl" for number in range(9)))
    assert len(left_over(tmp_path, [], {})) == 9
    assert len(left_over(tmp_path, [], {}, most=4)) == 3  # and the folder itself


@SETTINGS
@given(name=file_names, suffix=st.sampled_from(["", ".png", ".jxl", ".avi", ".zip", ".svg", ".x"]))
def test_no_name_stops_the_listing(
    tmp_path_factory: pytest.TempPathFactory, name: str, suffix: str
) -> None:
    root = tmp_path_factory.mktemp("any")
    add(root, f"{name}{suffix}", f"in/{name}{suffix}")
    found = left_over(root, [], {})
    is_listed = suffix not in ("", ".x") and not is_stray(f"{name}{suffix}")
    is_kind = PurePosixPath(f"{name}{suffix}").suffix.lower() in KINDS
    if is_listed and is_kind:
        assert len(found) == 2
