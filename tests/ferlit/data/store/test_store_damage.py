"""What is damaged in a store is named when it is opened, or by ``ferlit prepare --verify``."""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data.databases import DATABASES
from ferlit.data.databases.synthetic import drawn_like
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store, manifest
from ferlit.data.store.manifest import (
    MANIFEST,
    DamagedError,
    block_checksums,
    check_blocks,
    read_manifest,
    verify,
    write_manifest,
)
from ferlit.errors import DataError


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with targets."""
    folder = tmp_path_factory.mktemp("ferplus")
    return prepare_store(
        drawn_like(DATABASES["ferplus"]),
        folder / "tree",
        folder / "store",
        options={"votes": "crossentropy"},
        progress=False,
    )


@pytest.fixture
def folder(ferplus: Store, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ferplus.folder, tmp_path / "store"))


def flip(path: Path, place: float, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(content)


def save(change: Callable[[np.ndarray], np.ndarray], name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        np.save(folder / name, change(np.load(folder / name)))

    return damage


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return damage


def turn_classes(folder: Path) -> None:
    description = json.loads((folder / "store.json").read_text())
    description["classes"].reverse()
    (folder / "store.json").write_text(json.dumps(description, indent=2) + "\n")


def cut(name: str, share: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return damage


def append(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).open("ab").write(b"\0") and None


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("faces.npy", save(lambda faces: faces.reshape(len(faces), 3600), "faces.npy")),
        ("faces.npy", save(lambda faces: faces.astype(np.float32), "faces.npy")),
        ("faces.npy", save(np.asfortranarray, "faces.npy")),
        ("faces.npy", save(lambda faces: faces[:, ::-1], "faces.npy")),
        ("faces.npy", save(lambda faces: faces[:-1], "faces.npy")),
        ("faces.npy", cut("faces.npy", 0.7)),
        ("faces.npy", cut("faces.npy", 0)),
        ("faces.npy", append("faces.npy")),
        ("faces.npy", lambda folder: (folder / "faces.npy").unlink()),
        ("records.csv", edit("records.csv", ",anger,", ",fear,")),
        ("records.csv", cut("records.csv", 0.5)),
        ("records.csv", lambda folder: (folder / "records.csv").unlink()),
        ("targets.npy", save(lambda targets: targets[::-1], "targets.npy")),
        ("targets.npy", save(lambda targets: targets.astype(np.float64), "targets.npy")),
        ("targets.npy", save(lambda targets: targets[:, :-1], "targets.npy")),
        ("targets.npy", lambda folder: (folder / "targets.npy").unlink()),
        ("store.json", turn_classes),
        ("store.json", edit("store.json", '"crossentropy"', '"probability"')),
        ("store.json", cut("store.json", 0.5)),
        (MANIFEST, lambda folder: (folder / MANIFEST).unlink()),
        (MANIFEST, edit(MANIFEST, "records.csv", "recorts.csv")),
        (MANIFEST, cut(MANIFEST, 0.9)),
        (MANIFEST, cut(MANIFEST, 0)),
        (MANIFEST, lambda folder: (folder / MANIFEST).write_bytes(b"\n") and None),
    ],
)
def test_damage_is_refused_with_the_name_of_the_file(
    name: str, damage: Callable[[Path], None], folder: Path, ferplus: Store
) -> None:
    damage(folder)
    with pytest.raises(DataError, match=name) as error:
        Store.open(folder)
    assert "prepare" in str(error.value)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    "name", ["faces.npy", "records.csv", "targets.npy", "store.json", MANIFEST, "report.json"]
)
@pytest.mark.parametrize("place", [0.0, 0.31, 0.77, 1.0])
def test_a_flipped_bit_is_seen(name: str, place: float, folder: Path) -> None:
    flip(folder / name, place, bit=int(10 * place) % 8)
    refused = None
    try:
        Store.open(folder)
    except DataError as error:
        refused = str(error)
    if name in ("report.json", MANIFEST):  # no command reads the report, nor its line there
        assert main(["prepare", "--verify", str(folder)]) == 1
    else:
        assert refused is not None
        assert str(folder) in refused


def test_what_was_only_written_in_another_way_is_no_damage(folder: Path, ferplus: Store) -> None:
    description = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(description))
    assert Store.open(folder).description == ferplus.description


def test_a_store_without_checksums_opens_with_a_word_and_what_can_be_seen_is_seen(
    folder: Path, ferplus: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """As one of a version that wrote none."""
    (folder / MANIFEST).unlink()
    replace(ferplus.description, blocks="").write(folder / "store.json")
    store = Store.open(folder)
    assert f"{folder}: has no {MANIFEST}" in caplog.text
    pd.testing.assert_frame_equal(store.records, ferplus.records)
    assert store.content == ferplus.content
    edit("records.csv", ",anger,", ",angst,")(folder)
    with pytest.raises(DataError, match="has the expression 'angst'"):
        Store.open(folder)


def test_the_store_of_a_version_without_blocks_is_compared_whole(
    folder: Path, ferplus: Store
) -> None:
    replace(ferplus.description, blocks="").write(folder / "store.json")
    write_manifest(folder)
    assert Store.open(folder).content == ferplus.content
    flip(folder / "faces.npy", 0.5)
    with pytest.raises(DamagedError, match=r"faces\.npy: damaged"):
        Store.open(folder)


def damage_of(path: Path, blocks: str) -> str:
    try:
        check_blocks(path, blocks)
    except DamagedError as error:
        return error.damage
    return ""


def test_a_large_file_is_compared_by_a_sample_that_differs_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(np.random.default_rng(0).bytes(1000))
    monkeypatch.setattr(manifest, "_BLOCK", 10)
    monkeypatch.setattr(manifest, "WHOLE", 500)
    monkeypatch.setattr(manifest, "_SAMPLE", 50)
    blocks = block_checksums(path)
    assert len(blocks) == 100 * 8
    assert check_blocks(path, blocks) == "50 of 100 MiB"
    flip(path, 0.333, bit=3)
    seen = [damage_of(path, blocks) for _ in range(40)]  # half of the samples have it
    assert set(seen) == {"", f"{path}: damaged: its bytes 330 to 340 have changed"}
    monkeypatch.setattr(manifest, "WHOLE", 5000)
    with pytest.raises(DamagedError, match="bytes 330 to 340"):
        check_blocks(path, blocks)


def test_a_process_compares_once_and_again_when_a_file_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(folder)

    def never(*_: object) -> str:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr("ferlit.data.store.store.check_blocks", never)
        Store.open(folder)
    flip(folder / "faces.npy", 0.5)
    with pytest.raises(DamagedError):
        Store.open(folder)


def test_the_content_is_that_of_the_data_and_of_the_persons(folder: Path, ferplus: Store) -> None:
    assert Store.open(folder).content == ferplus.content
    images = ferplus.records["image"]
    table = pd.DataFrame({"image": images, "identity": [f"p{k % 5}" for k in range(len(images))]})
    table.to_csv(folder / "identities.csv", index=False)
    named = Store.open(folder).content
    assert named != ferplus.content
    assert Store.open(folder, identities=False).content == ferplus.content
    turn_classes(folder)
    write_manifest(folder)
    assert Store.open(folder, identities=False).content != ferplus.content


def test_verify_names_every_file_and_the_manifest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert set(read_manifest(folder)) == {path.name for path in folder.iterdir()} - {MANIFEST}
    flip(folder / "contact_sheet.png", 0.5)
    (folder / "report.json").unlink()
    assert verify(folder) == [
        "contact_sheet.png: changed since it was written",
        "report.json: missing",
    ]
    assert main(["prepare", "--verify", str(folder)]) == 1
    assert "contact_sheet.png: changed" in capsys.readouterr().err


def test_prepare_makes_a_damaged_store_again_and_keeps_its_identities(
    tree: Path, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = Path(shutil.copytree(store.folder, tmp_path / "store"))
    image = store.records["image"].iloc[0]
    (output / "identities.csv").write_text(f"image,identity\n{image},by hand\n")
    options = ["prepare", "--database", "ckplus", "--root", str(tree), "--output", str(output)]
    for name in ("faces.npy", "store.json", "records.csv"):
        flip(output / name, 0.6)
        with pytest.raises(DataError, match=name):
            prepare_store(DATABASES["ckplus"], tree, output, progress=False)
        with caplog.at_level(logging.WARNING):
            assert main(options) == 0
        assert f"{output / name}: " in caplog.text
        np.testing.assert_array_equal(Store.open(output).faces, store.faces)
        assert (output / "identities.csv").read_text().endswith(f"{image},by hand\n")
    (output / "store.json").unlink()
    assert main(options) == 0
    assert Store.open(output).content
