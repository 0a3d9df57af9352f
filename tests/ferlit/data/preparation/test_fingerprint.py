import shutil
from pathlib import Path

import pytest

from ferlit.data.databases import DATABASES
from ferlit.data.preparation import fingerprint as module
from ferlit.data.preparation.fingerprint import fingerprint

CKPLUS = DATABASES["ckplus"]


def test_the_checksum_does_not_depend_on_how_the_table_is_cut(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = CKPLUS.read(tree)
    whole = fingerprint(CKPLUS, tree, records, "database")
    monkeypatch.setattr(module, "_ROWS", 7)
    assert fingerprint(CKPLUS, tree, records, "database") == whole


def test_the_checksum_changes_with_any_row_file_or_choice(tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "tree"))
    records = CKPLUS.read(root)
    seen = {fingerprint(CKPLUS, root, records, "database")}
    seen.add(fingerprint(CKPLUS, root, records, "none"))
    relabelled = records.copy()
    relabelled.loc[len(records) - 1, "expression"] = "neutral"
    seen.add(fingerprint(CKPLUS, root, relabelled, "database"))
    for column in ("image", "landmarks"):
        with (root / records[column].iloc[-1]).open("ab") as file:
            file.write(b" ")
        seen.add(fingerprint(CKPLUS, root, records, "database"))
    ferplus = DATABASES["ferplus"]
    for votes in ("majority", "probability", "crossentropy"):
        seen.add(fingerprint(ferplus.with_options({"votes": votes}), root, records, "none"))
    assert len(seen) == 8
