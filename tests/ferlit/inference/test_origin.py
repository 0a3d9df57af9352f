from pathlib import Path

import pytest
import yaml

from ferlit.data.databases import DATABASES
from ferlit.data.databases.base import OWN_DATA
from ferlit.errors import DataError
from ferlit.inference.licences import licence_note, licence_of
from ferlit.inference.origin import Origin


def write_run(folder: Path, database: str, init_from: Path | None = None) -> Path:
    """A run's folder with its configuration; returns where its checkpoint would be."""
    start = None if init_from is None else str(init_from)
    config = {
        "model": {"init_args": {"init_from": start}},
        "data": {"init_args": {"database": database, "fold": 2, "folds": 8}},
    }
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "checkpoints" / "best.ckpt"


def test_the_databases_of_earlier_stages_count(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", "fer2013")
    second = write_run(tmp_path / "second", "multipie", first)
    third = write_run(tmp_path / "third", "ckplus", second)
    assert Origin.of(third).databases == ("ckplus", "multipie", "fer2013")
    assert Origin.of(third).fold == (2, 8)
    assert "competition" in licence_note(Origin.of(third).databases)


def test_runs_that_name_each_other_end(tmp_path: Path) -> None:
    checkpoint = tmp_path / "a" / "checkpoints" / "best.ckpt"
    other = write_run(tmp_path / "b", "mmi", checkpoint)
    write_run(tmp_path / "a", "sfew", other)
    assert Origin.of(checkpoint).databases == ("sfew", "mmi")


def test_a_checkpoint_alone_has_no_known_origin(tmp_path: Path) -> None:
    origin = Origin.of(tmp_path / "best.ckpt")
    assert (origin.databases, origin.fold, origin.metrics) == ((), None, {})
    assert "not known" in licence_note(origin.databases)


def test_results_belong_to_the_checkpoint_that_was_tested(tmp_path: Path) -> None:
    best = write_run(tmp_path / "run", "ckplus")
    (tmp_path / "run" / "metrics.json").write_text('{"image": {"accuracy": 0.5}}')
    assert Origin.of(best).metrics == {"image": {"accuracy": 0.5}}
    assert Origin.of(best.with_name("last.ckpt")).metrics == {}


def test_persons_that_are_numbers_keep_their_names(tmp_path: Path) -> None:
    best = write_run(tmp_path / "run", "multipie")
    (tmp_path / "run" / "split.csv").write_text("split,identity\ntrain,001\ntest,002\n")
    assert Origin.of(best).split["identity"].tolist() == ["001", "002"]


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    best = write_run(tmp_path / "run", "ckplus")
    (tmp_path / "run" / "metrics.json").write_text("{")
    with pytest.raises(DataError, match=r"metrics\.json: damaged"):
        Origin.of(best)


def test_every_database_has_its_terms() -> None:
    own = {"folder", "csv"}
    with_terms = {name for name in DATABASES if licence_of(name) != OWN_DATA}
    assert with_terms == set(DATABASES) - own
