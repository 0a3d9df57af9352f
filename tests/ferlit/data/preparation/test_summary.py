from pathlib import Path

import pytest
from rich.console import Console

from ferlit.data.preparation.summary import list_reasons, print_summary, summarise
from ferlit.data.reasons import kind_of
from ferlit.data.records import record_table
from ferlit.data.store import Description, Store

ROWS = [
    {"image": "a.png", "expression": "fear", "identity": "S1"},
    {"image": "b.png", "expression": "", "identity": "S1"},
    {"image": "c.png", "expression": "", "identity": ""},
]
DESCRIPTION = Description(
    database="folder",
    classes=("fear",),
    sequence_rule="max",
    landmarks="mediapipe",
    fingerprint="",
    found=6,
    dropped={
        "d.png": "points/d.txt: 67 lines instead of 68",
        "e.png": "points/e.txt: 67 lines instead of 68",
        "f.png": "the expression 'glad'; known are fear",
    },
    unread={"clips/x": "2 videos (.avi) instead of one"},
    several={"a.png": 2},
)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("the video is in Sessions/1 too", "the video is in ... too"),
        ("1/a.jpg was listed before", "... was listed before"),
        ("there is no file '1/a b.jpg'", "there is no file ..."),
        ("there is no picture train_00001.jpg", "there is no picture ..."),
        ("the frame is in 003.jpeg too", "the frame is in ... too"),
        ("2 videos (.avi) instead of one", "2 videos (.avi) instead of one"),
        ("47 pixels instead of 48 x 48", "47 pixels instead of 48 x 48"),
        ("the file is empty", "the file is empty"),
    ],
)
def test_reasons_of_a_kind_differ_only_in_names_and_values(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_the_report_counts_kinds_of_reasons_and_tells_files_from_images() -> None:
    report = summarise(record_table(ROWS), DESCRIPTION, [], 1.0)
    assert report["dropped"] == {
        "...: 67 lines instead of 68": 2,
        "the expression ...; known are fear": 1,
    }
    assert report["unread_files"] == {"2 videos (.avi) instead of one": 1}
    assert (report["found"], report["prepared"], report["several_faces"]) == (6, 3, 1)


def test_images_without_a_label_are_called_so_in_the_report() -> None:
    report = summarise(record_table(ROWS), DESCRIPTION, [], 1.0)
    counts = {name: each["images"] for name, each in report["classes"].items()}
    assert counts == {"(not labelled)": 2, "fear": 1}
    assert report["images_by_subject"] == {"S1": {"(not labelled)": 1, "fear": 1}}


def test_the_summary_names_an_example_of_each_kind(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Store(Path("here"), DESCRIPTION, record_table(ROWS), store.faces[:3])
    print_summary(shown, Console())
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    end = lines[lines.index("6 images found, 3 prepared, 3 dropped") :]
    assert end == [
        "6 images found, 3 prepared, 3 dropped",
        "2 x ...: 67 lines instead of 68 (d.png, e.png)",
        "1 x the expression 'glad'; known are fear (f.png)",
        "1 files or folders were not read, how many images they hold is not known:",
        "1 x 2 videos (.avi) instead of one (clips/x)",
        "several faces: 1 pictures, the largest taken",
    ]


def test_only_the_first_of_many_reasons_are_listed() -> None:
    listed = list_reasons({f"{number}.png": "gone" for number in range(30)})
    assert listed.splitlines()[19:] == [
        "  19.png: gone",
        "  and 10 more (store.json lists them all)",
    ]
