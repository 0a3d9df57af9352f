import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data import ExpressionDataModule, TupleDataModule
from ferlit.data.clips import film_of
from ferlit.data.databases import DATABASES
from ferlit.data.databases.synthetic import drawn_like
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.data.store.identities import IDENTITIES, with_identities
from ferlit.data.store.manifest import write_manifest
from ferlit.errors import DataError
from tests.ferlit.at_once import run_at_once
from tests.ferlit.data.identities.linear_onnx import linear_onnx

SIDE = 16


@pytest.fixture(scope="module")
def drawn_sfew(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sfew")
    database = drawn_like(DATABASES["sfew"])
    store = prepare_store(
        database, folder / "tree", folder / "store", landmarks="none", progress=False
    )
    return store.folder


@pytest.fixture
def sfew(drawn_sfew: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(drawn_sfew, tmp_path / "sfew"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random projection: the pixels' distances, smaller."""
    path = tmp_path_factory.mktemp("model") / "linear.onnx"
    weight = np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, 64))
    path.write_bytes(linear_onnx(weight.astype(np.float32), SIDE))
    return path


def identities(store: Path, *options: str) -> int:
    return main(["identities", "--store", str(store), *options])


def by_model(model: Path) -> list[str]:
    return ["--embedder", str(model), "--embedder-size", str(SIDE)]


def test_the_clips_of_sfew_train_tuples_and_make_folds(
    sfew: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = TupleDataModule(store=sfew, positives=2, num_workers=0)
    with pytest.raises(DataError, match=f"`ferlit identities --store {sfew}`"):
        data.setup("fit")
    with pytest.raises(DataError, match="`ferlit identities --store STORE`"):
        ExpressionDataModule(store=sfew, fold=0, folds=3).setup("fit")

    assert identities(sfew, "--method", "clips") == 0
    assert "26 images of 7 persons" in " ".join(capsys.readouterr().out.split())
    table = pd.read_csv(sfew / "identities.csv")
    assert list(table.columns) == ["image", "identity", "cluster_size"]
    assert table["identity"].nunique() == 7
    assert table["image"].map(film_of).nunique() == 4
    assert (table["cluster_size"] == table.groupby("identity")["image"].transform("size")).all()

    data.setup("fit")
    named = data.store.records["identity"].to_numpy()
    assert set(named) == set(table["identity"])
    queries = 0
    for batch in data.train_dataloader():
        for rows in batch.row.split(2 + 6):
            assert named[rows[0]] != named[rows[1]]
            queries += 1
    assert queries == len(data._rows("train"))
    folds = ExpressionDataModule(store=sfew, fold=0, folds=3)
    folds.setup("fit")
    assert (pd.Series(folds.fold_of).groupby(named).nunique() == 1).all()


@pytest.mark.parametrize("clustering", ["agglomerative", "whispers"])
def test_embeddings_are_clustered_within_films(sfew: Path, model: Path, clustering: str) -> None:
    # So large a threshold makes everybody in a film one person.
    options = [*by_model(model), "--clustering", clustering, "--threshold", "50"]
    assert identities(sfew, *options) == 0
    records = Store.open(sfew).records
    films = records["image"].map(film_of)
    assert (records["identity"] == films + "_person0001").all()


def test_a_small_threshold_makes_everybody_a_person(sfew: Path, model: Path) -> None:
    assert identities(sfew, *by_model(model), "--threshold", "1e-6") == 0
    assert Store.open(sfew).records["identity"].nunique() == 26


def test_a_corrected_table_is_kept_unless_told_otherwise(
    sfew: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert identities(sfew, "--method", "clips") == 0
    path = sfew / "identities.csv"
    path.write_text(path.read_text() + "nonsense.png,X,1\n")
    corrected = path.read_bytes()
    assert identities(sfew, "--method", "clips") == 1
    assert "give --overwrite to replace it" in capsys.readouterr().err
    assert path.read_bytes() == corrected
    assert identities(sfew, "--method", "clips", "--output", str(sfew / "other.csv")) == 0
    assert f"copy it to {path}" in capsys.readouterr().out
    # Even a table that fits no store does not stand in the way.
    assert identities(sfew, "--method", "clips", "--overwrite") == 0
    assert path.read_bytes() == (sfew / "other.csv").read_bytes()
    assert main(["prepare", "--verify", str(sfew)]) == 0


def test_clips_are_refused_where_the_names_tell_none(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert identities(store.folder, "--method", "clips", "--output", str(tmp_path / "a.csv")) == 1
    message = capsys.readouterr().err
    assert store.records["image"].iloc[0] in message
    assert "does not tell film, time and frame" in message
    assert not (tmp_path / "a.csv").exists()


def test_clusters_are_judged_by_the_persons_that_are_known(
    store: Store, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(store.folder, tmp_path / "store"))
    records = store.records.copy()
    nameless = records["identity"].isin(sorted(set(records["identity"]))[:2])
    records.loc[nameless, "identity"] = ""
    records.to_csv(folder / "records.csv", index=False)
    write_manifest(folder)
    assert identities(folder, *by_model(model), "--threshold", "2.1") == 0
    recordings = records[~nameless]["sequence"].value_counts()
    counts = records[~nameless].groupby("identity")["sequence"].nunique()
    pairs = len(recordings) * (len(recordings) - 1)
    precision = (counts * (counts - 1)).sum() / pairs  # everybody is in one cluster
    output = " ".join(capsys.readouterr().out.split())
    assert (
        f"against the 6 persons that the database names, over pairs of {len(recordings)}" in output
    )
    assert f"precision {precision:.3f}, recall 1.000" in output
    found = Store.open(folder).records["identity"]
    assert found[~nameless].equals(store.records["identity"][~nameless])
    assert found[nameless].nunique() == 1


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["identities", "--help"])
    text = capsys.readouterr().out
    assert all(option in text for option in ("--method", "--embedder", "--threshold"))


NAME = """
import sys, time
from ferlit.cli import main
from ferlit.data.identities import command

by_clips = command._by_clips

def slowly(store):
    time.sleep(3)
    return by_clips(store)

command._by_clips = slowly
options = ["identities", "--store", sys.argv[1], "--method", "clips", *sys.argv[2:]]
sys.exit(main(options))
"""


def test_of_two_at_once_the_second_waits_and_does_not_replace_the_table(sfew: Path) -> None:
    (sfew / IDENTITIES).unlink(missing_ok=True)
    before = {path.name for path in sfew.parent.rglob("*")}
    results = run_at_once(NAME, [sfew], [sfew])
    assert sorted(code for code, _ in results) == [0, 1], results
    (refused,) = [text for code, text in results if code]
    assert "naming the persons of the store" in refused
    assert f"{IDENTITIES} exists, and somebody may have corrected it" in refused
    assert Store.open(sfew).records["identity"].nunique() > 1
    assert {path.name for path in sfew.parent.rglob("*")} == before | {IDENTITIES}


def test_a_table_says_what_it_leaves_out_and_what_it_does_not_change(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = store.records.copy()
    records.loc[records.index[3:9], ["identity", "sequence"]] = ""
    images = records["image"]
    path = tmp_path / IDENTITIES
    path.write_text(f"image,identity\n{images[0]},stranger\n{images[3]},somebody\n")
    named = with_identities(records, path)["identity"]
    assert (named[0], named[3], named[4]) == (records["identity"][0], "somebody", "")
    own = records["identity"][0]
    assert (
        f"{path}: 1 images keep the person that the database names, such as {images[0]}, which "
        f"shows {own} and not stranger" in caplog.text
    )
    assert f"5 of {len(records)} images have no person in it, such as {images[4]}" in caplog.text
