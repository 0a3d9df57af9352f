from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.loading.transforms import FaceTransform
from ferlit.data.records import recordings
from ferlit.data.store import Store
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.demo import neighbours
from ferlit.inference.demo.neighbours import NearestFaces, training_rows, why_no_metric_branch
from ferlit.inference.demo.row_cache import cached_rows
from ferlit.inference.recogniser import Recogniser
from ferlit.models import TwoBranch
from ferlit.training import ExpressionModule
from tests.ferlit.at_once import run_at_once
from tests.ferlit.inference.conftest import Brightness, Trained
from tests.ferlit.tiny import TinyBackbone


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def recogniser(trained: Trained) -> Recogniser:
    return Recogniser(trained.checkpoint)


@pytest.fixture
def nearest(
    trained: Trained, recogniser: Recogniser, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> NearestFaces:
    monkeypatch.setattr(neighbours, "cache_folder", lambda: cache)
    return NearestFaces(recogniser, trained.checkpoint, trained.store)


def inputs_of(store: Store, rows: list[int]) -> NDArray[np.float32]:
    transform = FaceTransform(train=False)
    return np.stack([transform(store.faces[row]).numpy() for row in rows])


def test_the_neighbours_are_those_of_a_search_through_all_training_faces(
    trained: Trained, nearest: NearestFaces
) -> None:
    records, query = trained.store.records, 1
    split = pd.read_csv(trained.run / "split.csv", keep_default_na=False)
    people = set(split.loc[split["split"] == "train", "identity"])
    assert 0 < len(people) < records["identity"].nunique()
    module = nearest.module
    with torch.inference_mode():
        inputs = torch.from_numpy(inputs_of(trained.store, list(range(len(records)))))
        embeddings = module.branches(module.backbone(inputs)).embedding
    units = embeddings / embeddings.norm(dim=1, keepdim=True)
    numbers = recordings(records)
    best: dict[int, tuple[float, int]] = {}
    for row in range(len(records)):
        if records["identity"][row] in people:
            distance = float((units[row] - units[query]).square().sum())
            best[numbers[row]] = min(best.get(numbers[row], (9.0, 0)), (distance, row))
    expected = sorted(best.values())[:5]

    (found,) = nearest(inputs_of(trained.store, [query]))
    assert [face.distance for face in found] == pytest.approx([d for d, _ in expected], abs=1e-5)
    for face, (_, row) in zip(found, expected, strict=True):
        assert np.array_equal(face.face, trained.store.faces[row])
        assert (face.label, face.identity) == tuple(records.loc[row, ["expression", "identity"]])


def test_a_training_face_is_nearest_to_itself(trained: Trained, nearest: NearestFaces) -> None:
    rows = nearest.rows[::7].tolist()
    for row, found in zip(rows, nearest(inputs_of(trained.store, rows), count=1), strict=True):
        assert np.array_equal(found[0].face, trained.store.faces[row])
        assert found[0].distance == pytest.approx(0, abs=1e-5)


def test_the_next_start_reads_the_embeddings(
    trained: Trained,
    recogniser: Recogniser,
    nearest: NearestFaces,
    cache: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (file,) = cache.iterdir()
    before = file.stat().st_mtime_ns
    again = NearestFaces(recogniser, trained.checkpoint, trained.store)
    assert file.stat().st_mtime_ns == before
    assert np.array_equal(again.embeddings, nearest.embeddings)
    assert "embedding" not in capfd.readouterr().err
    NearestFaces(recogniser, trained.checkpoint.with_name("last.ckpt"), trained.store)
    assert len(list(cache.iterdir())) == 2  # another checkpoint, another file


def test_without_folds_the_databases_own_split_says_what_trained(
    trained: Trained, tmp_path: Path
) -> None:
    records = trained.store.records.copy()
    elsewhere = tmp_path / "best.ckpt"
    store = Store(tmp_path, trained.store.description, records, trained.store.faces)
    rows, is_training = training_rows(store, elsewhere)
    assert (len(rows), is_training) == (len(records), False)
    records.loc[10:, "split"] = "test"
    records.loc[:9, "split"] = "train"
    records.loc[3, "expression"] = ""
    rows, is_training = training_rows(store, elsewhere)
    assert (rows.tolist(), is_training) == ([0, 1, 2, 4, 5, 6, 7, 8, 9], True)


def test_faces_of_a_database_that_a_run_never_saw_are_no_training_faces(trained: Trained) -> None:
    records = trained.store.records.assign(split="train")
    description = replace(trained.store.description, database="mmi")
    store = Store(trained.store.folder, description, records, trained.store.faces)
    rows, is_training = training_rows(store, trained.checkpoint)
    assert (len(rows), is_training) == (len(records), False)


def test_an_interrupted_embedding_goes_on_where_it_stopped(tmp_path: Path) -> None:
    table = np.arange(600, dtype=np.float32).reshape(200, 3)
    asked: list[int] = []

    def compute(start: int, stop: int) -> NDArray[np.float32]:
        asked.append(start)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return table[start:stop]

    path = tmp_path / "new" / "rows.f32"
    with pytest.raises(KeyboardInterrupt):
        cached_rows(path, 200, 3, compute)
    assert not path.exists()
    assert np.array_equal(cached_rows(path, 200, 3, compute), table)
    assert asked == [0, 64, 128, 128, 192]
    assert np.array_equal(cached_rows(path, 200, 3, compute), table)
    assert len(asked) == 5  # read, not computed
    path.write_bytes(b"cut short")
    assert np.array_equal(cached_rows(path, 200, 3, compute), table)


@pytest.mark.parametrize("where", ["file", "draft"])
def test_damaged_embeddings_are_computed_again(
    where: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    asked: list[int] = []

    def compute(start: int, stop: int) -> NDArray[np.float32]:
        asked.append(start)
        return table[start:stop]

    path = tmp_path / "store.rows"
    cached_rows(path, 200, 3, compute)
    content = bytearray(path.read_bytes())
    content[100 * 16 + 3] ^= 1  # of row 100
    if where == "draft":
        path.unlink()
    (path if where == "file" else path.with_suffix(".part")).write_bytes(content)
    asked.clear()
    assert np.array_equal(cached_rows(path, 200, 3, compute), table)
    assert asked == ([0, 64, 128, 192] if where == "file" else [64, 128, 192])
    assert ("damaged" in caplog.text) == (where == "file")
    assert [file.name for file in tmp_path.iterdir()] == ["store.rows"]


EMBED = """
import sys, time
from pathlib import Path
import numpy as np
from ferlit.inference.demo.row_cache import cached_rows

def compute(start, stop):
    print("computing", start)
    time.sleep(0.5)
    return np.arange(3 * start, 3 * stop, dtype=np.float32).reshape(-1, 3)

print(int(cached_rows(Path(sys.argv[1]), 300, 3, compute).sum()))
"""


def test_of_two_demos_one_embeds_a_store(tmp_path: Path) -> None:
    results = run_at_once(EMBED, *[[tmp_path / "store.rows"]] * 2)
    assert all(code == 0 for code, _ in results), results
    assert {text.split()[-1] for _, text in results} == {"404550"}
    assert sum("computing" in text for _, text in results) == 1


def test_a_model_without_a_trained_metric_branch_says_so(recogniser: Recogniser) -> None:
    assert why_no_metric_branch(recogniser) == ""
    exported = Recogniser(Brightness(), landmarks="none")
    assert "exported model has no metric branch" in why_no_metric_branch(exported)
    module = ExpressionModule(["anger", "fear"], backbone=TinyBackbone(), branches=TwoBranch)
    untrained = Recogniser(ModuleClassifier(module, Preprocessing()), landmarks="none")
    assert "was not trained" in why_no_metric_branch(untrained)
    with pytest.raises(ValueError, match="was not trained"):
        NearestFaces(untrained, Path("best.ckpt"), None)  # type: ignore[arg-type]
