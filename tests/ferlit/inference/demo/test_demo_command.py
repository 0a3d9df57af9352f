import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ferlit.cli import main
from ferlit.inference.demo.answers import Answers, describe
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.inference.conftest import Brightness, Trained
from tests.ferlit.inference.faces import portrait, scene

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    one, two = portrait(0, "happiness"), portrait(1, "surprise", 260)
    Image.fromarray(scene(one)).save(folder / "one.png")
    Image.fromarray(scene(one, two)).convert("RGB").save(folder / "two.jpg")
    Image.fromarray(np.full((480, 640), 90, np.uint8)).save(folder / "wall.png")
    (folder / "<b>.png").write_text("not a picture")
    return folder


@pytest.fixture(scope="module")
def recogniser(landmark_models: Path) -> Recogniser:
    return Recogniser(Brightness(), landmark_models=landmark_models)


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def headings(html: str) -> list[str]:
    return re.findall(r"<h3>(.*?)</h3>", html)


def heading(recogniser: Recogniser, picture: Path) -> str:
    (face,) = recogniser.recognise(picture)
    return f"{face.label}, {100 * face.probability:.0f} %"


def test_each_face_gets_a_card_with_what_the_recogniser_says(
    recogniser: Recogniser, pictures: Path
) -> None:
    picture, html, _ = Answers(recogniser)(str(pictures / "two.jpg"))
    faces = recogniser.recognise(pictures / "two.jpg")
    assert headings(html) == [
        f"Face {number}: {face.label}, {100 * face.probability:.0f} %"
        for number, face in enumerate(faces, start=1)
    ]
    assert html.count("data:image/png;base64,") == 2
    widths = re.findall(r"width: ([\d.]+)%", html)
    expected = [100 * value for face in faces for value in face.probabilities.values()]
    assert sorted(map(float, widths)) == pytest.approx(sorted(expected), abs=0.06)
    assert picture is not None
    before = np.asarray(Image.open(pictures / "two.jpg"))
    assert (picture != before).any(axis=2).sum() > 500  # boxes, labels, points
    assert (picture == before).mean() > 0.9


def test_no_face_and_no_picture_are_said_plainly(recogniser: Recogniser, pictures: Path) -> None:
    answers = Answers(recogniser)
    assert answers(None) == (None, "", True)
    picture, html, is_readable = answers(str(pictures / "wall.png"))
    assert picture is None
    assert is_readable
    assert "No face found." in html
    picture, html, is_readable = answers(str(pictures / "<b>.png"))
    assert picture is None
    assert not is_readable
    assert "&lt;b&gt;.png: not a picture of a known kind." in html
    assert str(pictures) not in html


def test_the_note_names_the_model_and_its_limits(trained: Trained, tmp_path: Path) -> None:
    text = " ".join(describe(Recogniser(trained.checkpoint), trained.checkpoint))
    assert "best.ckpt, trained on ckplus. 7 classes: anger, contempt" in text
    assert "highest probability in any of its images" in text
    assert "not what a person feels" in text
    model = tmp_path / "model.pt2"
    assert main(["export", "--checkpoint", str(trained.checkpoint), "--output", str(model)]) == 0
    exported = " ".join(describe(Recogniser(model), model))
    assert exported == text.replace("best.ckpt", "model.pt2")


def test_without_gradio_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--model", "best.ckpt"]) == 1
    assert capsys.readouterr().err == (
        "ferlit demo: gradio is missing; pip install 'ferlit[demo]'\n"
    )


def test_a_taken_port_is_named_with_a_free_one(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gradio", reason="needs pip install 'ferlit[demo]'")
    with socket.create_server(("127.0.0.1", port)):
        assert main(["demo", "--model", "best.ckpt", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    free = re.search(rf"port {port} is taken .*; take --port (\d+)", error)
    assert free, error
    with socket.create_server(("127.0.0.1", int(free[1]))):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "0"], "--port 0: from 1 to 65535"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid: no IPv4 address"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1: it cannot be listened at"),
    ],
)
def test_an_address_that_cannot_be_served_is_bad_usage(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gradio", reason="needs pip install 'ferlit[demo]'")
    assert main(["demo", "--model", "best.ckpt", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def server(
    trained: Trained, landmark_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], Any, Path]]:
    """The command itself, a client of it, and its folder for temporary files."""
    reason = "needs pip install 'ferlit[demo]'"
    pytest.importorskip("gradio", reason=reason)
    client = pytest.importorskip("gradio_client", reason=reason)
    folder = tmp_path_factory.mktemp("demo")
    (folder / "temporary").mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    path = os.pathsep.join([str(ROOT), str(ROOT / "nmloss" / "src"), *sys.path])
    cache = {"XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder / "temporary")}
    options = [f"--model={trained.checkpoint}", f"--store={trained.store.folder}"]
    options += [f"--landmark-models={landmark_models}", f"--port={port}", "--host=0.0.0.0"]
    with (folder / "errors").open("w") as errors:
        running = subprocess.Popen(
            [sys.executable, "-m", "ferlit", "demo", *options],
            cwd=ROOT,
            env={**os.environ, **cache, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # A suite that runs in the background ignores SIGINT, and its children would as well.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        assert running.stdout is not None
        address = running.stdout.readline().split(" ")[0]
        assert address.startswith("http://"), (folder / "errors").read_text()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
            yield running, client.Client(address, verbose=False, analytics_enabled=False), folder
    finally:
        running.kill()
        running.wait()


def ask(client: Any, picture: Path) -> tuple[Any, str]:
    from gradio_client import handle_file

    shown, html, _ = client.predict(handle_file(str(picture)), api_name="/recognise")
    return shown, html


def test_an_upload_gets_the_label_of_the_recogniser_and_its_neighbours(
    server: tuple[Any, Any, Path], trained: Trained, pictures: Path
) -> None:
    picture, html = ask(server[1], pictures / "one.png")
    assert headings(html) == [heading(Recogniser(trained.checkpoint), pictures / "one.png")]
    assert re.search(r"Nearest of \d+ training faces of ckplus", html)
    assert html.count("data:image/png;base64,") == 6
    with Image.open(picture) as shown:
        assert shown.size == (640, 480)


def test_an_upload_without_a_face_or_of_no_picture_gets_a_message(
    server: tuple[Any, Any, Path], pictures: Path
) -> None:
    assert ask(server[1], pictures / "wall.png")[0] is None
    assert "No face found." in ask(server[1], pictures / "wall.png")[1]
    assert "not a picture of a known kind" in ask(server[1], pictures / "<b>.png")[1]


@pytest.mark.parametrize("declared", [{"meta": {"_type": "gradio.FileData"}}, {"meta": {}}, {}])
def test_a_file_that_was_not_uploaded_is_not_read(
    server: tuple[Any, Any, Path], pictures: Path, declared: dict[str, Any]
) -> None:
    address = f"{server[1].src}gradio_api/call/recognise"
    file = {"path": str(pictures / "one.png"), **declared}
    body = json.dumps({"data": [file]}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{address}/{event}", timeout=30) as response:
        assert response.read().decode().startswith("event: error")


def test_a_page_for_the_network_comes_with_a_warning(
    server: tuple[Any, Any, Path],
) -> None:
    errors = (server[2] / "errors").read_text()
    assert "--host 0.0.0.0: whoever reaches this machine can use the page" in errors


def test_ctrl_c_ends_it_and_deletes_what_was_uploaded(
    server: tuple[Any, Any, Path], pictures: Path
) -> None:
    running, client, folder = server
    ask(client, pictures / "one.png")
    assert any((folder / "temporary").rglob("*.png"))
    running.send_signal(signal.SIGINT)
    deadline = time.monotonic() + 30
    while running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.returncode == 0, (folder / "errors").read_text()
    assert not any((folder / "temporary").rglob("*.png"))
