"""FER2013's own labels beside the votes of FER+."""

from pathlib import Path

import numpy as np
import pytest

from ferlit.cli import main
from ferlit.data.databases.fer2013 import FER2013
from ferlit.data.databases.ferplus import FERPLUS, read_ferplus_targets
from ferlit.data.databases.trees.ferplus import write_ferplus
from ferlit.data.preparation import prepare_store
from ferlit.data.records import EXPRESSIONS
from ferlit.data.store import Store
from ferlit.errors import DataError, UsageError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ferplus")
    for form in ("csv", "folders"):
        write_ferplus(folder / form, form=form)
    return folder


@pytest.mark.parametrize("rule", ["majority", "probability", "crossentropy"])
def test_they_have_their_share_of_each_target(root: Path, rule: str) -> None:
    table = FERPLUS.with_options({"votes": rule, "own_labels": 0.25}).read(root / "csv")
    images = table["image"].tolist()
    votes = read_ferplus_targets(root / "csv", images, votes=rule)
    mixed = read_ferplus_targets(root / "csv", images, votes=rule, own_labels=0.25)
    of_fer2013 = FER2013.read(root / "csv").set_index("image")["expression"]
    own = np.array([[name == of_fer2013[image] for name in EXPRESSIONS] for image in images])
    np.testing.assert_allclose(mixed, 0.75 * votes + 0.25 * own, atol=1e-6)
    assert not np.allclose(mixed, votes)
    plain = FERPLUS.with_options({"votes": rule}).read(root / "csv")
    assert table["expression"].tolist() == plain["expression"].tolist()


def test_training_learns_them_whatever_the_rule(root: Path, tmp_path: Path) -> None:
    made = []
    for share in (0.0, 0.25, 0.5):
        store = prepare_store(
            FERPLUS,
            root / "csv",
            tmp_path / f"store{share}",
            options={"own_labels": share},
            progress=False,
        )
        made.append(store.description)
        assert (Store.open(tmp_path / f"store{share}").targets is not None) == bool(share)
    assert [each.target_rule for each in made] == ["", "crossentropy", "crossentropy"]
    assert len({each.fingerprint for each in made}) == 3


def test_a_store_of_another_share_is_not_taken_for_this_one(root: Path, tmp_path: Path) -> None:
    options = {"votes": "crossentropy", "own_labels": 0.25}
    prepare_store(FERPLUS, root / "csv", tmp_path / "s", options=options, progress=False)
    with pytest.raises(DataError, match="other"):
        prepare_store(
            FERPLUS,
            root / "csv",
            tmp_path / "s",
            options=options | {"own_labels": 0.5},
            resume=True,
            progress=False,
        )


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(UsageError, match=r"own_labels=.*: from 0 to 1"):
        FERPLUS.with_options({"own_labels": share})


def test_what_has_no_share_for_them_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="votes=multi_target takes several"):
        FERPLUS.with_options({"votes": "multi_target", "own_labels": 0.25})
    with pytest.raises(UsageError, match="no label of FER2013 for 49 faces, such as data/"):
        FERPLUS.with_options({"votes": "probability", "own_labels": 0.25}).read(root / "folders")


def test_the_command_line_has_it(root: Path, tmp_path: Path) -> None:
    options = ["--database=ferplus", f"--root={root / 'csv'}", f"--output={tmp_path / 's'}"]
    assert main(["prepare", *options, "--votes=crossentropy", "--own-labels=0.25"]) == 0
    assert Store.open(tmp_path / "s").targets is not None
