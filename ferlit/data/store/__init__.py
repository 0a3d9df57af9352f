"""A prepared store: the registered faces of a database, ready to train on.

A folder: ``faces.npy`` (n x 60 x 60 uint8, memory-mapped), ``records.csv`` (the record table, row i
for face i) and ``store.json`` (database, classes, how it was made, what was dropped); for FER+ also
``targets.npy`` (n x K float32), what several people saw in the faces. Beside them, for people:
``report.json``, ``contact_sheet.png`` and the checksums ``manifest.sha256``, which an opening
compares. Where the database does not name the persons, ``ferlit identities`` adds
``identities.csv``. Several stores are opened as one by `ferlit.data.store.union`.
"""

from ferlit.data.store.description import DESCRIPTION, Description, find_description
from ferlit.data.store.store import FACES, RECORDS, TARGETS, Member, Store
from ferlit.data.store.union import StoreUnion, open_stores

__all__ = [
    "DESCRIPTION",
    "FACES",
    "RECORDS",
    "TARGETS",
    "Description",
    "Member",
    "Store",
    "StoreUnion",
    "find_description",
    "open_stores",
]
