"""Data: records -> prepared store -> data modules."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferlit.data.loading.datamodule import ExpressionDataModule
    from ferlit.data.loading.tuples import TupleDataModule

__all__ = ["ExpressionDataModule", "TupleDataModule"]

_MODULES = {"ExpressionDataModule": "loading.datamodule", "TupleDataModule": "loading.tuples"}


def __getattr__(name: str) -> Any:
    """Import the data modules when they are used: `ferlit prepare` needs no torch."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
