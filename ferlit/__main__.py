"""``python -m ferlit``."""

from ferlit.cli import entry_point

entry_point()
