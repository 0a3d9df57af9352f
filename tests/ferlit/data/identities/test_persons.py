import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.clips import clip_identities, film_of
from ferlit.data.identities.clusters import Clustering
from ferlit.data.identities.persons import find_persons
from ferlit.data.records import record_table
from ferlit.errors import DataError

FILMS = ("Airheads", "21", "HarryPotter_Deathly_Hallows_1", "")

drawn = st.lists(
    st.tuples(st.sampled_from(FILMS), st.sampled_from(["", "", "r1", "r2"]), st.booleans()),
    min_size=1,
    max_size=14,
)
clusterings = st.sampled_from(["agglomerative", "whispers"])


def store_of(rows: list[tuple[str, str, bool]]) -> pd.DataFrame:
    """Images of films and recordings; a recording shows one person, named or not."""
    table = []
    for k, (film, recording, is_named) in enumerate(rows):
        name = f"{film}_{k:09d}_{k:08d}.png" if film else f"S{k}.png"
        sequence = f"{film} {recording}" if recording else ""
        named = is_named
        if recording:
            named = next(own for *of, own in rows if of == [film, recording])
        person = f"P{len(film) % 2}" if named else ""
        table.append({"image": name, "sequence": sequence, "identity": person})
    return record_table(table)


@given(drawn, clusterings, st.integers(0, 10**6), st.floats(0.1, 5))
@settings(deadline=None, max_examples=80)
def test_clusters_keep_to_films_and_keep_recordings_whole(
    rows: list[tuple[str, str, bool]], clustering: Clustering, seed: int, threshold: float
) -> None:
    records = store_of(rows)
    points = np.random.default_rng(seed).normal(size=(len(rows), 3)).astype(np.float32)
    persons = find_persons(records, points, threshold, clustering)
    table = records.assign(
        cluster=persons.clusters, person=persons.identities, film=records["image"].map(film_of)
    )
    assert (table.groupby("cluster")["film"].nunique() == 1).all()
    in_sequences = table[table["sequence"] != ""]
    assert (in_sequences.groupby("sequence")["person"].nunique() == 1).all()
    named = table["identity"] != ""
    assert (table["person"] != "").all()
    assert (table["person"] == table["identity"])[named].all()
    # No cluster has both a name of the database and a fresh one.
    for _, members in table.groupby("cluster"):
        own, others = members[members["identity"] != ""], members[members["identity"] == ""]
        assert own.empty or set(others["person"]) <= set(own["identity"])
        assert others["person"].nunique() <= 1


@given(drawn, clusterings, st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_the_order_of_the_records_does_not_matter(
    rows: list[tuple[str, str, bool]], clustering: Clustering, seed: int
) -> None:
    records = store_of(rows)
    points = np.random.default_rng(seed).integers(0, 3, (len(rows), 2)).astype(np.float32)
    order = np.random.default_rng(seed + 1).permutation(len(rows))
    persons = find_persons(records, points, 1.2, clustering)
    moved = find_persons(records.iloc[order].reset_index(drop=True), points[order], 1.2, clustering)
    assert moved.identities == [persons.identities[k] for k in order]
    assert (moved.clusters == persons.clusters[order]).all()


def test_a_cluster_takes_the_name_that_most_of_its_images_have() -> None:
    names = ["S2", "S1", "S1", "", "", ""]
    records = record_table({"image": f"{k}.png", "identity": name} for k, name in enumerate(names))
    points = np.array([[0], [0], [0], [0], [9], [9]], np.float32)
    found = find_persons(records, points, 1).identities
    assert found == ["S2", "S1", "S1", "S1", "person0002", "person0002"]


def test_a_fresh_name_is_nobodys() -> None:
    records = record_table([{"image": "a", "identity": "person0002"}, {"image": "b"}])
    found = find_persons(records, np.array([[0], [9]], np.float32), 1).identities
    assert found == ["person0002", "person0002_new"]


def test_frames_take_part_as_the_mean_of_their_recording() -> None:
    records = record_table(
        {"image": f"{k}.png", "sequence": "s" if k < 2 else ""} for k in range(3)
    )
    points = np.array([[-4], [4], [0.1]], np.float32)
    assert set(find_persons(records, points, 0.5).identities) == {"person0001"}


def test_a_name_that_is_no_clip_is_named() -> None:
    with pytest.raises(DataError, match=r"S005_001_00000011\.png.*--method embeddings"):
        clip_identities(["Airheads_000519240_00000005.png", "S005_001_00000011.png"])
