"""Options that would not be used: left out of the configuration, and named."""

import logging
from collections.abc import Mapping
from typing import Any

from ferlit.data.loading.tuples import BATCH_SIZE
from ferlit.errors import UsageError

logger = logging.getLogger(__name__)


def leave_out_unused_data(config: Any, given: Mapping[str, str]) -> None:
    """Take out of a configuration what the data module would not use.

    A store that is prepared has its faces: how they would be read and registered is of no use then.

    Args:
        config: Of a subcommand; it is changed.
        given: Options of the command line by name.

    Raises:
        UsageError: an option of the command line would not be used.
    """
    data = config.get("data")
    options = data.get("init_args") if data is not None else None
    if options is None or "store" not in options:
        return
    if options.get("fold", 0) is None and "data.folds" in given and "data.fold" not in given:
        raise UsageError(
            f"--data.folds {given['data.folds']}: give the round as well, --data.fold 0 for the "
            "first; without it the database's official split is taken"
        )
    _leave_out_batch_size(config, options, given)
    if not options.store or options.root:
        return
    for name, nothing in (("reader", None), ("landmarks", "auto")):
        value = options.get(name)
        if value in (None, nothing, {}):
            continue
        if name == "reader" and any(key.startswith("data.reader") for key in given):
            raise UsageError(
                f"--data.reader {value}: the store {options.store} is prepared already, so nothing "
                "is read; give --data.root as well, or `ferlit prepare` with these options"
            )
        if name == "reader":
            logger.warning(
                "data.reader %s of the configuration is not used: %s is prepared already",
                *(value, options.store),
            )
            options[name] = nothing


def _leave_out_batch_size(config: Any, options: Any, given: Mapping[str, str]) -> None:
    """Tuples have a size of their own."""
    tuples, size = options.get("tuples_per_batch"), options.get("batch_size", BATCH_SIZE)
    if tuples is None or size == BATCH_SIZE:
        return
    text = f"data.batch_size={size} is not used: a batch has data.tuples_per_batch={tuples} tuples"
    if "data.batch_size" in given:
        raise UsageError(f"{text}; leave it out")
    if config.get("ckpt_path") is None:  # else it is as the run has written it
        logger.warning(text)
        options.batch_size = BATCH_SIZE
