"""``ferlit prepare`` on a small tree of every database, as a user types it."""

import json
from pathlib import Path

import pytest

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.store import Store

# Images found, prepared, persons and options of each tree, counted by hand from its generator.
TREES: dict[str, tuple[int, int, int, list[str]]] = {
    "affectnet": (24, 24, 0, []),
    "ck48": (63, 63, 3, []),
    "csv": (52, 49, 3, []),
    "fer2013": (43, 43, 0, []),
    "ferplus": (36, 36, 0, []),
    "folder": (33, 32, 4, ["--identity", r"(?P<identity>S\d+)_"]),
    "jaffe": (23, 23, 3, []),
    "kdef": (23, 22, 4, []),
    "mmi": (27, 27, 5, []),
    "multipie": (126, 126, 3, []),
    "oulu_casia": (54, 54, 3, []),
    "rafdb": (21, 21, 0, []),
    "sfew": (26, 26, 0, []),
}


def test_no_database_is_left_out() -> None:
    assert set(TREES) == set(DATABASES) - {"ckplus", "synthetic"}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_is_prepared_with_the_counts_of_its_generator(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, prepared, people, options = TREES[name]
    command = ["prepare", "--database", "synthetic", "--like", name, "--landmarks", "none"]
    command += ["--root", str(tmp_path / "tree"), "--output", str(tmp_path / "store"), *options]
    assert main(command) == 0
    line = f"{found} images found, {prepared} prepared, {found - prepared} dropped"
    assert line in " ".join(capsys.readouterr().out.split())
    store = Store.open(tmp_path / "store")
    identities = store.records["identity"]
    assert (len(store.faces), identities[identities != ""].nunique()) == (prepared, people)
    report = json.loads((tmp_path / "store" / "report.json").read_text())
    assert (report["found"], report["prepared"]) == (found, prepared)
    assert sum(report["dropped"].values()) == found - prepared
    assert main(["prepare", "--verify", str(tmp_path / "store")]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--database", "kdef", "--angle", "up"], "argument --angle: invalid choice: 'up'"),
        (["--database", "ckplus", "--angle", "S"], "unrecognized arguments: --angle S"),
        (["--database", "ckplus", "--like", "mmi"], "--like goes with --database synthetic"),
        (
            ["--database", "ckplus", "--landmarks", "none", "--landmark-models", "."],
            "--landmark-models goes with --landmarks mediapipe",
        ),
    ],
)
def test_wrong_options_are_named(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ["--root", str(tmp_path), "--output", str(tmp_path / "store")]
    with pytest.raises(SystemExit) as stop:
        main(["prepare", *options, *paths])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("multipie", ["--cameras", "front"], "there is no camera 'front'"),
        ("oulu_casia", ["--frames", "0"], "frames=0; at least 1"),
        ("folder", ["--identity", "("], "is no regular expression"),
        ("mmi", ["--exclude", "nobody"], "neither a person, as S021, nor a video"),
    ],
)
def test_what_only_the_reader_can_judge_is_bad_usage_too(
    name: str,
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    paths = ["--root", str(tmp_path / "root"), "--output", str(tmp_path / "store")]
    assert main(["prepare", "--database", name, *options, *paths]) == 2
    assert message in capsys.readouterr().err
