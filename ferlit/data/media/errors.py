"""What is wrong with a picture or a video."""

from ferlit.errors import DataError


class UnreadableImageError(DataError):
    """A picture that cannot be read; the message names it and says why."""
