"""Finding the persons of a store whose database names nobody; a store applies the table of them."""

from ferlit.data.store.identities import (
    IDENTITIES,
    read_identities,
    with_identities,
    write_identities,
)

__all__ = ["IDENTITIES", "read_identities", "with_identities", "write_identities"]
