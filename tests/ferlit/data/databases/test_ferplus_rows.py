"""Whatever shows that the two tables of FER+ do not belong together refuses them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ferlit.data.databases.fer2013 import CODES
from ferlit.data.databases.ferplus import FERPLUS
from ferlit.data.databases.ferplus.votes import COLUMNS
from ferlit.data.databases.trees.ferplus import NO_FACE, write_ferplus
from ferlit.data.records import unread_files
from ferlit.errors import DataError

PICTURES, VOTES = "fer2013/fer2013.csv", "ferplus/fer2013new.csv"

Lines = list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ferplus") / "tree"
    write_ferplus(root)
    return root


@pytest.fixture
def tree(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "tree"))


def change(root: Path, name: str, to: Callable[[Lines], Lines]) -> None:
    """Change the rows of a table, without its header."""
    header, *rows = (root / name).read_text().splitlines()
    (root / name).write_text("\n".join([header, *to(rows)]) + "\n")


def lost(row: int) -> Callable[[Lines], Lines]:
    return lambda rows: rows[:row] + rows[row + 1 :]


def doubled(row: int) -> Callable[[Lines], Lines]:
    return lambda rows: rows[: row + 1] + rows[row:]


def edited(row: int, old: str, new: str) -> Callable[[Lines], Lines]:
    def edit(rows: Lines) -> Lines:
        assert old in rows[row]
        return [*rows[:row], rows[row].replace(old, new, 1), *rows[row + 1 :]]

    return edit


@pytest.mark.parametrize("row", [0, 7, 30, 45, 49])
@pytest.mark.parametrize("name", [PICTURES, VOTES])
@pytest.mark.parametrize("how", [lost, doubled])
def test_a_row_that_is_lost_or_doubled_in_one_of_them(
    how: Callable[[int], Callable[[Lines], Lines]], name: str, row: int, tree: Path
) -> None:
    change(tree, name, how(row))
    with pytest.raises(DataError, match="belong together row by row, but not these two: row") as it:
        FERPLUS.read(tree)
    assert "50 rows" in str(it.value)
    assert "49 rows" in str(it.value) or "51 rows" in str(it.value)
    assert "Take both files as they were published" in str(it.value)


@pytest.mark.parametrize(
    ("name", "first", "second", "reason"),
    [
        (PICTURES, doubled(10), lost(20), r"row 1[01] \(counted"),
        (
            PICTURES,
            lost(10),
            doubled(45),
            r"row 1[01] \(counted from 0\): from here on the votes fit",
        ),
        (VOTES, doubled(10), lost(20), "row 11 .*: fer0000009.png is there again, as in row 10"),
        (VOTES, lost(10), doubled(20), "row 10 .*: fer0000010.png follows fer0000008.png of row 9"),
        (VOTES, lost(10), lambda rows: [*rows, rows[-1]], "row 10 .*: fer0000010.png follows"),
        (VOTES, lambda rows: rows[::-1], lambda rows: rows, "row 0 .*: the Usage is 'Training'"),
    ],
)
def test_tables_of_one_length_whose_rows_do_not_fit(
    name: str,
    first: Callable[[Lines], Lines],
    second: Callable[[Lines], Lines],
    reason: str,
    tree: Path,
) -> None:
    change(tree, name, lambda rows: second(first(rows)))
    with pytest.raises(DataError, match=reason):
        FERPLUS.read(tree)


def test_pictures_that_are_one_row_behind_show_in_their_own_expressions(tree: Path) -> None:
    """Nothing else tells: the lengths and the Usages agree, and no picture is there twice."""
    change(tree, PICTURES, lambda rows: [*rows[1:34], rows[0], *rows[34:]])
    with pytest.raises(DataError, match=r"row \d .*votes fit the expressions 1 row before"):
        FERPLUS.read(tree)


def test_rows_in_another_order_show_in_their_own_expressions(tmp_path: Path) -> None:
    pairs = [(k * k // 3) % 7 for k in range(200)]
    votes = [["0"] * 10 for _ in pairs]
    for counts, code in zip(votes, sorted(pairs), strict=True):
        counts[COLUMNS.index(CODES[code])] = "10"
    pictures = [f"{code},{k} {'0 ' * 2302}0,Training" for k, code in enumerate(pairs)]
    rows = [f"Training,fer{k:07d}.png,{','.join(counts)}" for k, counts in enumerate(votes)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *pictures]))
    header = ",".join(("Usage", "Image name", *COLUMNS))
    (tmp_path / "fer2013new.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(DataError, match=r"of the votes agree with the expression of FER2013"):
        FERPLUS.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "to", "reason"),
    [
        (VOTES, edited(36, "PublicTest", "PrivateTest"), "row 36 .*'PublicTest' with the picture"),
        (PICTURES, edited(3, "Training", "Test"), "row 3 .*: the Usage is 'Test' with the picture"),
        (VOTES, edited(8, "fer0000007.png", ""), r"row 8 .*: votes on an expression \(.*no name"),
        (VOTES, edited(8, "0000007", "0000031"), "row 8 .*: fer0000031.png follows fer0000006"),
    ],
)
def test_a_single_value_that_disagrees(
    name: str, to: Callable[[Lines], Lines], reason: str, tree: Path
) -> None:
    change(tree, name, to)
    with pytest.raises(DataError, match=reason):
        FERPLUS.read(tree)


def test_a_row_with_a_value_too_many_is_refused(tree: Path) -> None:
    change(tree, VOTES, edited(8, "fer0000007.png,", "fer0000007.png,0,"))
    with pytest.raises(
        DataError, match=r"fer2013new\.csv: row 8 .* has more values than the header"
    ):
        FERPLUS.read(tree)


def test_votes_of_another_number_of_people_are_warned_of(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    FERPLUS.read(tree)
    assert caplog.text == ""
    change(tree, VOTES, edited(0, "10", "7"))
    FERPLUS.read(tree)
    assert "the votes on 1 faces are not those of ten people, such as on fer2013/fer20" in (
        caplog.text
    )


def test_rows_that_both_tables_lack_are_a_sample(tree: Path) -> None:
    whole = FERPLUS.read(tree)["expression"].tolist()
    for name in (PICTURES, VOTES):
        change(tree, name, lambda rows: rows[::2])
    records = FERPLUS.read(tree)
    assert unread_files(records) == {}
    assert 0 < len(records) < len(whole)
    assert set(records["split"]) == {"train", "val", "test"}


def test_a_row_without_a_name_takes_no_number_or_one_of_its_own(tree: Path) -> None:
    """Both occur in the published table: 85 rows of one kind, 88 of the other."""
    expected = FERPLUS.read(tree)

    def skip(rows: Lines) -> Lines:
        names = [f"fer{k:07d}.png" if row.split(",")[1] else "" for k, row in enumerate(rows)]
        assert names[NO_FACE] == ""
        return [
            ",".join([row.split(",")[0], name, *row.split(",")[2:]])
            for row, name in zip(rows, names, strict=True)
        ]

    change(tree, VOTES, skip)
    assert FERPLUS.read(tree).equals(expected)
