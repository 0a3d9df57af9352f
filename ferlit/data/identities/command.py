"""``ferlit identities``: persons for a store whose database does not name them."""

import argparse
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from ferlit.data.clips import clip_identities
from ferlit.data.identities.clusters import pair_scores
from ferlit.data.identities.embeddings import ONNX_SIZE, make_embedder
from ferlit.data.identities.persons import Persons, find_persons, name_clusters
from ferlit.data.records import recordings
from ferlit.data.store import Store
from ferlit.data.store.identities import IDENTITIES, write_identities
from ferlit.errors import DataError
from ferlit.locks import owned


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit identities``."""
    given = _parser(command).parse_args(options)
    output = given.output or given.store / IDENTITIES
    _refuse_existing(output, given)
    Store.open(given.store, identities=False)  # before anything is made beside it
    if not output.parent.is_dir():
        raise DataError(f"{output}: there is no folder {output.parent}")
    with ExitStack() as stack:
        try:
            stack.enter_context(owned(output.resolve(), "naming the persons of the store"))
        except OSError as error:
            raise DataError(f"{output}: cannot be written ({error.strerror})") from error
        _refuse_existing(output, given)  # made by another process by now
        _name_persons(given, output)


def _refuse_existing(output: Path, given: argparse.Namespace) -> None:
    if output.exists() and not given.overwrite:
        raise DataError(
            f"{output} exists, and somebody may have corrected it; give --overwrite to replace it, "
            "or another file with --output"
        )


def _name_persons(given: argparse.Namespace, output: Path) -> None:
    store = Store.open(given.store, identities=False)
    persons = _by_clips(store) if given.method == "clips" else _by_embeddings(store, given)
    clusters = pd.Series(persons.clusters)
    table = pd.DataFrame(
        {
            "image": store.records["image"],
            "identity": persons.identities,
            "cluster_size": clusters.map(clusters.value_counts()),
        }
    )
    if Store.open(given.store, identities=False).content != store.content:
        raise DataError(f"{given.store} was renewed meanwhile; run the same command again")
    write_identities(table, output)
    known = (store.records["identity"] != "").to_numpy()
    print(f"{len(table)} images of {table['identity'].nunique()} persons: {output}")
    if known.any():
        print(_agreement(store.records, persons, known))
    if output != given.store / IDENTITIES:
        print(f"to apply it, copy it to {given.store / IDENTITIES}")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Name the persons of a store whose database does not. The table that it "
        f"writes, STORE/{IDENTITIES}, may be corrected by hand; training and evaluation use it.",
    )
    parser.add_argument("--store", required=True, type=Path, help="the prepared store")
    parser.add_argument(
        "--method",
        choices=("embeddings", "clips"),
        default="embeddings",
        help="clusters of face embeddings, within each film where the images are named as those "
        "of SFEW (default); or the clips that such names tell",
    )
    parser.add_argument("--output", type=Path, help=f"the table (default: STORE/{IDENTITIES})")
    parser.add_argument("--overwrite", action="store_true", help="replace a table that exists")
    parser.add_argument(
        "--embedder",
        default="dlib",
        metavar="dlib|MODEL.onnx",
        help="the network: dlib's (pip install 'ferlit[dlib]', the default) or an ONNX model that "
        "takes (x - 127.5) / 128 in three channels",
    )
    parser.add_argument(
        "--embedder-size",
        type=int,
        default=ONNX_SIZE,
        metavar="PIXELS",
        help=f"height and width of the ONNX model's input (default: {ONNX_SIZE})",
    )
    parser.add_argument(
        "--clustering",
        choices=("agglomerative", "whispers"),
        default="agglomerative",
        help="average linkage (default), or chinese whispers, for more than 20,000 faces",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        help="the Euclidean distance that parts two persons: lower gives more of them (default: "
        "0.45 for dlib; 1.0 for ONNX, whose embeddings have length 1, so a cosine of 0.5)",
    )
    return parser


def _by_clips(store: Store) -> Persons:
    clusters, clips = pd.factorize(np.array(clip_identities(store.records["image"])))
    own = store.records["identity"].tolist()
    return Persons(clusters, name_clusters(own, clusters, clips.tolist()))


def _by_embeddings(store: Store, given: argparse.Namespace) -> Persons:
    embedder = make_embedder(given.embedder, given.embedder_size)
    threshold = embedder.threshold if given.threshold is None else given.threshold
    faces = track(store.faces, "embedding faces", total=len(store.faces))
    embeddings = np.stack([embedder.embed(np.asarray(face)) for face in faces])
    return find_persons(store.records, embeddings, threshold, given.clustering)


def _agreement(records: pd.DataFrame, persons: Persons, known: NDArray[np.bool_]) -> str:
    """What the persons that the database names say about the clusters."""
    # The frames of a recording are together anyway: they would flatter the clusters.
    first = known & ~pd.Series(recordings(records)).duplicated().to_numpy()
    identities = records["identity"].to_numpy(str)
    precision, recall = pair_scores(persons.clusters[first], identities[first])
    return (
        f"{len(set(persons.clusters[known].tolist()))} clusters against the "
        f"{len(set(identities[known]))} persons that the database names, over pairs of "
        f"{first.sum()} recordings and stills: precision {precision:.3f}, recall {recall:.3f}"
    )
