"""From a database on disk to a prepared store."""

from ferlit.data.preparation.prepare import prepare_store

__all__ = ["prepare_store"]
