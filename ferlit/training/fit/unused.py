"""Options that would not be used: left out of the configuration, and named."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ferlit.data.loading.tuples import BATCH_SIZE
from ferlit.data.preparation.choices import other_options
from ferlit.data.store import find_description
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
    if options.get("fold", 0) is None and options.get("folds_by", "identity") != "identity":
        if "data.folds_by" in given and "data.fold" not in given:
            raise UsageError(
                f"--data.folds_by {given['data.folds_by']}: give the round as well, --data.fold 0 "
                "for the first; without it the database's official split is taken"
            )
        options.folds_by = "identity"
    _leave_out_batch_size(config, options, given)
    if not options.store or options.root:
        return
    if options.get("reader"):
        _compare_reader(dict(options.reader), options.store, given)
        options.reader = None


def _compare_reader(reader: Mapping[str, Any], store: Any, given: Mapping[str, str]) -> None:
    """Say how a prepared store was read otherwise than the options of a reader ask for.

    Raises:
        UsageError: the command line asks for them.
    """
    made = None if isinstance(store, list) else find_description(Path(store))
    found = [] if made is None else other_options(made, reader)
    if made is not None and made.reader is not None and not found:
        return
    said = f"{store} is prepared already"
    if made is not None and made.reader is None:
        said += ", and does not remember by which options"
    said += f" ({'; '.join(found)})" if found else ""
    if any(key.startswith("data.reader") for key in given):
        raise UsageError(
            f"--data.reader {reader}: the store {said}, so nothing is read; give --data.root as "
            "well, or `ferlit prepare` with these options"
        )
    logger.warning("data.reader %s of the configuration is not used: %s", reader, said)


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
