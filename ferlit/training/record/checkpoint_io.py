"""Checkpoints that are whole, whatever happens while they are written."""

import errno
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import _is_local_file_protocol

from ferlit.errors import FerlitError
from ferlit.files import whole_file

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place, brings it to the disk, then renames it.

    Lightning's own way leads through the temporary folder, and from there to another file system by
    a copy, which a killed process or a full disk leaves half done. Here the former checkpoint stays
    until the new one is whole. What a killed process left behind goes at the next write. Places
    that are no files of this machine are left to Lightning.

    Raises:
        FerlitError: the checkpoint cannot be written, for example onto a full disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        if storage_options is not None or not _is_local_file_protocol(str(path)):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        try:
            for left in path.parent.glob(f".*.partial{path.suffix}"):
                left.unlink()
            # Not by the file's name: torch's own writer aborts the process where the disk is full.
            with whole_file(path) as draft, draft.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            # What torch raises when it cannot end its file hides why.
            reason = error if isinstance(error, OSError) else error.__context__
            if isinstance(reason, KeyboardInterrupt | SystemExit):  # Ctrl-C, SIGTERM
                raise reason from None
            if not isinstance(reason, OSError):
                raise
            kept = " (the one before it is still there)" if path.is_file() else ""
            remedy = "make room, then go on" if reason.errno in _FULL else "go on"
            raise FerlitError(
                f"{path}: the checkpoint cannot be written{kept}: {reason.strerror}; {remedy} with "
                "--ckpt_path"
            ) from reason
