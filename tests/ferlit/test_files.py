from pathlib import Path

import pytest

from ferlit.files import whole_file, write_json
from tests.ferlit.full_disk import largest_file


def fail_half_way(path: Path) -> None:
    with whole_file(path) as draft:
        draft.write_text("half")
        path.with_name("missing").read_text()


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    write_json(path, {"number": 1})
    with pytest.raises(FileNotFoundError):
        fail_half_way(path)
    assert path.read_text() == '{\n  "number": 1\n}\n'
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


def test_the_draft_keeps_the_suffix(tmp_path: Path) -> None:
    with whole_file(tmp_path / "model.onnx") as draft:
        draft.write_bytes(b"graph")
        assert draft.suffix == ".onnx"
        assert not (tmp_path / "model.onnx").exists()
    assert (tmp_path / "model.onnx").read_bytes() == b"graph"


def test_a_full_disk_is_told_by_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with largest_file(100), pytest.raises(OSError, match=r"File too large: '.*/a\.json'"):
        write_json(path, {"text": "x" * 200})
    assert not any(tmp_path.iterdir())


def test_an_error_of_another_kind_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write mode RGBA as JPEG"), whole_file(tmp_path / "a"):
        raise OSError("cannot write mode RGBA as JPEG")
