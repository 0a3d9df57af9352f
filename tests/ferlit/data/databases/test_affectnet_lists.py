from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.databases.affectnet import AFFECTNET, CODES
from ferlit.data.databases.affectnet.lists import COLUMNS, read_row_landmarks
from ferlit.data.databases.trees.affectnet import write_affectnet
from ferlit.data.faces.registration import canonical_landmarks, register
from ferlit.data.records import unread_files
from ferlit.errors import DataError

LISTS = Path("Manually_Annotated_file_lists")
PICTURES = Path("Manually_Annotated_Images")
TRAINING = (LISTS / "training.csv").as_posix()
HEADER = ",".join(COLUMNS)


def row(name: str = "1/a.jpg", width: str = "99", code: str = "3") -> str:
    return f"{name},10,10,{width},99,1.5;2.5,{code},0.5,0.1"


def fill(root: Path, *lines: str, names: tuple[str, ...] = ("1/a.jpg", "1/b.jpg")) -> Path:
    """The list for training and empty pictures."""
    (root / LISTS).mkdir(parents=True)
    (root / TRAINING).write_text("\n".join(lines) + "\n")
    for name in names:
        (root / PICTURES / name).parent.mkdir(parents=True, exist_ok=True)
        (root / PICTURES / name).touch()
    return root


def test_the_codes_are_affectnets_own(tmp_path: Path) -> None:
    names = tuple(f"1/{code}.jpg" for code in range(8))
    fill(tmp_path, HEADER, *(row(name, code=name[2]) for name in names), names=names)
    assert AFFECTNET.read(tmp_path)["expression"].tolist() == [
        *("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
    ]


def test_codes_that_are_counted_from_1_are_refused(tmp_path: Path) -> None:
    names = tuple(f"1/{code}.jpg" for code in range(1, 9))
    root = fill(tmp_path, *(row(f"1/{c}.jpg", code=str(c)) for c in range(1, 9)), names=names)
    with pytest.raises(DataError, match="its codes begin with 1"):
        AFFECTNET.read(root)


def test_a_list_may_lack_its_header(tmp_path: Path) -> None:
    fill(tmp_path, row("1/a.jpg"), row("1/b.jpg", code="6"))
    records = AFFECTNET.read(tmp_path)
    assert records["image"].tolist() == [f"{PICTURES}/1/a.jpg", f"{PICTURES}/1/b.jpg"]
    assert records["expression"].tolist() == ["surprise", "anger"]


def test_columns_go_by_the_header_where_there_is_one(tmp_path: Path) -> None:
    fill(tmp_path, "expression,face_width,subDirectory_filePath", "3, 99, 1/a.jpg")
    assert AFFECTNET.read(tmp_path)["expression"].tolist() == ["surprise"]


def test_lists_may_lie_in_the_root(tmp_path: Path) -> None:
    fill(tmp_path, HEADER, row())
    (tmp_path / TRAINING).rename(tmp_path / "training.csv")
    assert len(AFFECTNET.read(tmp_path)) == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (row("1/b.jpg", width="-1"), "there is no box of a face (its width is '-1')"),
        (row("1/b.jpg", width="wide"), "its width is 'wide'"),
        (row("1/b.jpg", width="nan"), "its width is 'nan'"),
        (row("1/b.jpg", code="11"), "the expression '11'; known are 0 neutral, 1 happiness"),
        (row("1/b.jpg", code="-1"), "the expression '-1'"),
        (row("1/b.jpg", code="1.5"), "the expression '1.5'"),
        (row("1/b.jpg", code="inf"), "the expression 'inf'"),
        (row("1/b.jpg", code=""), "the expression ''"),
        (row("1/c.jpg"), "there is no file '1/c.jpg'"),
        (row("1"), "there is no file '1'"),
        (row("1/a.jpg"), "1/a.jpg was listed before"),
        (row("1//a.jpg"), "1/a.jpg was listed before"),
        (row("a" * 5_000), "there is no file 'aaa"),
        (row("1/b.jpg") + ",1", "10 columns instead of 9"),
        ("1/b.jpg,10,10,99", "4 columns instead of 9"),
        ('"', "1 columns instead of 9"),
        (row("C:\\a.jpg"), "there is no file"),
        (row("1/\0.jpg"), "there is no file"),
        (row("1/a.jpg#0"), "'1/a.jpg#0' is no name of a picture"),
        (row("../a.jpg"), "'../a.jpg' leads out of the database's folder"),
        (row("/etc/hosts"), "'/etc/hosts' leads out of the database's folder"),
        (row("1/../1/b.jpg"), "leads out of the database's folder"),
    ],
)
def test_a_wrong_row_is_unread_and_the_rest_is_read(line: str, reason: str, tmp_path: Path) -> None:
    fill(tmp_path, HEADER, row("1/a.jpg"), line, "")
    records = AFFECTNET.read(tmp_path)
    assert records["image"].tolist() == [f"{PICTURES}/1/a.jpg"]
    assert list(unread_files(records)) == [f"{TRAINING}#1"]
    assert reason in unread_files(records)[f"{TRAINING}#1"]


@settings(deadline=None, max_examples=50)
@given(line=st.text(st.characters(blacklist_categories=("Cs",)), max_size=80))
def test_any_text_in_a_list_leaves_the_other_rows_alone(
    line: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = fill(tmp_path_factory.mktemp("text"))
    text = f"{HEADER}\n{row('1/a.jpg')}\n{line}\n{row('1/b.jpg')}\n"
    (root / TRAINING).write_text(text, encoding="utf-8", newline="")
    assert AFFECTNET.read(root)["image"].tolist() == [f"{PICTURES}/1/a.jpg", f"{PICTURES}/1/b.jpg"]


NAMES = st.from_regex(r"\A[0-9]{1,3}/[0-9a-f]{8}\.(jpg|JPG|png)\Z")


@settings(deadline=None, max_examples=30)
@given(name=NAMES, code=st.integers(0, 7), has_header=st.booleans())
def test_any_name_and_code_are_read(
    name: str, code: int, has_header: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [*([HEADER] if has_header else []), row(name, code=str(code))]
    record = AFFECTNET.read(fill(tmp_path_factory.mktemp("name"), *lines, names=(name,))).iloc[0]
    assert record["image"] == f"{PICTURES}/{name}"
    assert record["expression"] == CODES[code]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the list has no rows"),
        (f"{HEADER}\n", "the list has no rows"),
        ("subDirectory_filePath,face_width\n1/a.jpg,9\n", "there is no column expression"),
    ],
)
def test_a_list_that_tells_nothing_is_unread(text: str, reason: str, tmp_path: Path) -> None:
    fill(tmp_path, HEADER, row())
    (tmp_path / LISTS / "validation.csv").write_text(text)
    records = AFFECTNET.read(tmp_path)
    assert len(records) == 1
    assert unread_files(records) == {f"{LISTS}/validation.csv": reason}


@pytest.mark.parametrize(
    ("training", "validation", "message"),
    [
        ([row(), row(code="9")], [], r"1/a\.jpg has the code 3 in .*training\.csv#0 and 9 in .*#1"),
        ([row(), row(code="4")], [], r"1/a\.jpg has the code 3 in .*training\.csv#0 and 4 in .*#1"),
        (
            [row()],
            [row()],
            r"a\.jpg has the code 3 in .*training\.csv#0 and 3 in .*validation\.csv#0",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_an_error(
    training: list[str], validation: list[str], message: str, tmp_path: Path
) -> None:
    fill(tmp_path, HEADER, *training)
    (tmp_path / LISTS / "validation.csv").write_text("\n".join([HEADER, *validation]) + "\n")
    with pytest.raises(DataError, match=message):
        AFFECTNET.read(tmp_path)


def affects(root: Path, codes: dict[int, float]) -> Path:
    names = tuple(f"1/{code}{k}.jpg" for code in codes for k in range(20))
    lines = [f"{n},1,1,9,9,,{n[2]},{codes[int(n[2])] + 0.01 * (len(n) % 3)},0" for n in names]
    return fill(root, HEADER, *lines, names=names)


def test_codes_that_the_valence_speaks_against_are_refused(tmp_path: Path) -> None:
    own = {0: 0.0, 1: 0.65, 2: -0.6, 3: 0.1}
    assert len(AFFECTNET.read(affects(tmp_path / "own", own))) == 80
    shifted = {code + 1: valence for code, valence in own.items()}  # counted from 1
    with pytest.raises(
        DataError, match=r"code 1, happiness, have a mean valence of 0\.0\d, .* 0\.6"
    ):
        AFFECTNET.read(affects(tmp_path / "shifted", shifted))


def test_pictures_in_no_list_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, HEADER, row())
    (tmp_path / PICTURES / "1/Thumbs.db").touch()
    assert len(AFFECTNET.read(tmp_path)) == 1
    assert "Manually_Annotated_Images: 1 pictures are in no list: 1/b.jpg" in caplog.text


def test_a_row_in_another_encoding_is_named(tmp_path: Path) -> None:
    fill(tmp_path, HEADER, row())
    with (tmp_path / TRAINING).open("ab") as list_:
        list_.write(row("1/Zo\xeb.jpg").encode("latin-1"))
    assert unread_files(AFFECTNET.read(tmp_path)) == {
        f"{TRAINING}#1": "the row is not UTF-8; save the list as UTF-8"
    }


def test_lists_without_pictures_are_an_error(tmp_path: Path) -> None:
    fill(tmp_path, HEADER, row(), names=())
    with pytest.raises(DataError, match="no folder Manually_Annotated_Images, which the lists"):
        AFFECTNET.read(tmp_path)
    (tmp_path / PICTURES).mkdir()
    with pytest.raises(DataError, match=r"not one picture.*training\.csv#0: there is no file"):
        AFFECTNET.read(tmp_path)


@pytest.mark.parametrize("name", ["training.csv", "validation.csv"])
def test_a_damaged_list_is_named_and_the_other_is_read(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    root = tmp_path / "tree"
    write_affectnet(root, form="old")
    list_ = root / LISTS / name
    whole = list_.read_bytes()
    split, rows = ("train", 16) if name == "training.csv" else ("val", 8)
    for damage, left in (
        (b"", 0),
        (rng.bytes(2_000), 0),
        # Cut off among the landmarks of the last row, which in training.csv has no box anyway.
        (whole[: whole.rindex(b";")], rows - (split == "val")),
    ):
        list_.write_bytes(damage)
        records = AFFECTNET.read(root)
        assert (records["split"] == split).sum() == left
        assert len(records) == 24 - rows + left
        assert any(place.startswith(f"{LISTS}/{name}") for place in unread_files(records))


@pytest.mark.parametrize("points", ["", "1.5;2.5", "a;b", ";".join(["nan"] * 136)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_without_landmarks_has_them_where_its_box_is(
    points: str, end: str, tmp_path: Path
) -> None:
    path = tmp_path / "training.csv"
    others = [f"x{k}.jpg,0,0,{k},{k},,3,0,0" for k in range(1, 4)]
    text = end.join([HEADER, "", *others, f"1/a.jpg,100,50,96,80,{points},3,0,0"])
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    placed = read_row_landmarks(path, 3)
    # A square of 96 about the middle of the box, twice as large as the central crop of a face.
    np.testing.assert_allclose(placed, (canonical_landmarks() - 6 + 0.5) * 2 - 0.5 + (100, 42))
    face = np.zeros((200, 300), np.uint8)
    face[42:138, 100:196] = 255
    registered = register(face, placed)
    assert (registered[6:54, 6:54] == 255).all()
    assert registered[:5].max() == registered[:, 55:].max() == 0


@pytest.mark.parametrize("box", ["-1,-1,-1,-1", ",,,", "1,1,0,0", "1,1,nan,9"])
def test_a_row_with_neither_landmarks_nor_a_box_is_an_error(box: str, tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    path.write_text(f"1/a.jpg,{box},,3,0,0\n")
    with pytest.raises(DataError, match="row 0 has neither 68 landmarks nor a face's box"):
        read_row_landmarks(path, 0)
    with pytest.raises(DataError, match="the list has only 1 rows"):
        read_row_landmarks(path, 1)


def test_a_list_without_landmarks_and_boxes_promises_none(tmp_path: Path) -> None:
    fill(tmp_path, "expression,face_width,subDirectory_filePath", "3, 99, 1/a.jpg")
    assert AFFECTNET.read(tmp_path)["landmarks"].tolist() == [""]
