"""Identity-aware facial expression recognition with PyTorch Lightning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferlit.inference.recogniser import Face, Recogniser

__all__ = ["Face", "Recogniser"]


def __getattr__(name: str) -> Any:
    """Imported at the first use, so that ``import ferlit`` is instant."""
    if name in __all__:
        from ferlit.inference import recogniser

        return getattr(recogniser, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
