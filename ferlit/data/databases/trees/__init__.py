"""Small trees of synthetic people in the exact layouts of the databases, quirks included.

A writer takes a ``root`` that does not exist, else it raises `DataError`, and a ``seed`` that fixes
everything.
"""

from collections.abc import Callable
from pathlib import Path

from ferlit.data.databases.trees.affectnet import write_affectnet
from ferlit.data.databases.trees.ck48 import write_ck48
from ferlit.data.databases.trees.csv_table import write_csv_table
from ferlit.data.databases.trees.fer2013 import write_fer2013
from ferlit.data.databases.trees.ferplus import write_ferplus
from ferlit.data.databases.trees.folder import write_folder
from ferlit.data.databases.trees.jaffe import write_jaffe
from ferlit.data.databases.trees.kdef import write_kdef
from ferlit.data.databases.trees.mmi import write_mmi
from ferlit.data.databases.trees.multipie import write_multipie
from ferlit.data.databases.trees.oulu_casia import write_oulu_casia
from ferlit.data.databases.trees.rafdb import write_rafdb
from ferlit.data.databases.trees.sfew import write_sfew

# By the name of the database; CK+ has a tree of any size, `ferlit.data.synthetic.write_ckplus`.
TREES: dict[str, Callable[[Path], None]] = {
    "affectnet": write_affectnet,
    "ck48": write_ck48,
    "csv": write_csv_table,
    "fer2013": write_fer2013,
    "ferplus": write_ferplus,
    "folder": write_folder,
    "jaffe": write_jaffe,
    "kdef": write_kdef,
    "mmi": write_mmi,
    "multipie": write_multipie,
    "oulu_casia": write_oulu_casia,
    "rafdb": write_rafdb,
    "sfew": write_sfew,
}
