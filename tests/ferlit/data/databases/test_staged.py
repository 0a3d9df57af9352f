from pathlib import Path

from ferlit.data.databases import DATABASES, find_database
from ferlit.data.databases.staged import STAGED


def test_the_trees_of_the_stages_are_drawn_and_read_whole(tmp_path: Path) -> None:
    fer2013 = find_database("synthetic_fer2013").read(tmp_path / "fer2013")
    assert fer2013["expression"].value_counts().to_dict() == dict.fromkeys(
        DATABASES["fer2013"].classes, 60
    )
    assert fer2013["split"].value_counts().to_dict() == {"train": 280, "val": 70, "test": 70}
    multipie = find_database("synthetic_multipie").read(tmp_path / "multipie")
    assert multipie["identity"].nunique() == 24
    assert multipie["expression"].value_counts().to_dict() == dict.fromkeys(
        DATABASES["multipie"].classes, 24 * 5
    )


def test_they_need_no_landmarks_and_are_no_databases_of_the_command_line() -> None:
    assert all(database.is_aligned for database in STAGED.values())
    assert not STAGED.keys() & DATABASES.keys()
