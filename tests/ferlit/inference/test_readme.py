"""The README's example of a recogniser runs as it stands."""

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.ferlit.inference.conftest import Trained
from tests.ferlit.inference.faces import portrait, scene

README = Path(__file__).parents[3] / "README.md"


def test_the_example_prints_a_face(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (block,) = (block for block in blocks if "ferlit" in block)
    shutil.copy(trained.checkpoint, tmp_path / "best.ckpt")
    Image.fromarray(scene(portrait(0, "happiness"))).save(tmp_path / "portrait.jpg")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(block, "README.md", "exec"), {})
    (line,) = capsys.readouterr().out.splitlines()
    assert any(name in line for name in trained.store.description.classes)
