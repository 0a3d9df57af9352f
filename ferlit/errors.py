"""The errors that are meant for the user: what was wrong, the value, what to do."""


class FerlitError(Exception):
    """A mistake in the input; its message says what to change."""


class DataError(FerlitError):
    """A database, store or record table that cannot be used as it is."""


class ContradictionError(DataError):
    """Two parts of a database that cannot both be right: nothing of it is used."""


class UsageError(DataError):
    """An option with a value that it cannot have."""
