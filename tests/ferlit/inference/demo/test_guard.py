"""Who the demo answers, asked over its socket by requests as browsers and programs send them."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from ferlit.inference.demo.answers import Answers
from ferlit.inference.demo.guard import own_names
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.inference.conftest import Brightness


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module", params=["127.0.0.1", "0.0.0.0"])
def demo(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    pytest.importorskip("gradio", reason="needs pip install 'ferlit[demo]'")
    from ferlit.inference.demo.page import served

    port = free_port()
    answers = Answers(Recogniser(Brightness(), landmarks="none"))
    with served(answers, "", request.param, port, ["demo.example"]):
        yield request.param, port


def status(
    port: int, method: str = "GET", path: str = "/", body: bytes = b"", **headers: str
) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        return connection.getresponse().status
    finally:
        connection.close()


FORM = {"Content_Type": "multipart/form-data; boundary=x"}
UPLOAD = (
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n'
    b"Content-Type: image/png\r\n\r\nabc\r\n--x--\r\n"
)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "demo.example"])
def test_its_own_names_are_answered_on_any_port(demo: tuple[str, int], name: str) -> None:
    for host in (name, f"{name}:{demo[1]}", f"{name}:8000"):
        assert status(demo[1], Host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:7860",
        "192.0.2.7",
        "localhost@evil.example",
        "evil.example/localhost",
        "localhost:x",
        "",
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/gradio_api/info",
        "/gradio_api/file=/etc/hostname",
        "/gradio_api/queue/data?session_hash=a",
        "/gradio_api/proxy=http://example.com",
    ],
)
def test_another_host_is_refused_everywhere(demo: tuple[str, int], host: str, path: str) -> None:
    assert status(demo[1], path=path, Host=host) == 403


def test_no_host_and_two_hosts_are_refused(demo: tuple[str, int]) -> None:
    assert status(demo[1]) in (400, 403)
    with socket.create_connection(("127.0.0.1", demo[1])) as peer:
        peer.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n"
        )
        assert peer.recv(100).split()[1] in (b"400", b"403")


def test_an_upload_from_its_own_page_or_a_program_is_taken(demo: tuple[str, int]) -> None:
    host = f"localhost:{demo[1]}"
    own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
    for headers in ({"Host": host}, own):
        assert status(demo[1], "POST", "/gradio_api/upload", UPLOAD, **headers, **FORM) == 200


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_sites_page_is_refused(demo: tuple[str, int], foreign: dict[str, str]) -> None:
    headers = {"Host": f"localhost:{demo[1]}", **foreign}
    assert status(demo[1], "POST", "/gradio_api/upload", UPLOAD, **headers, **FORM) == 403
    join = json.dumps({"data": [None], "fn_index": 0, "session_hash": "a"}).encode()
    as_json = {"Content_Type": "application/json"}
    assert status(demo[1], "POST", "/gradio_api/queue/join", join, **headers, **as_json) == 403
    assert status(demo[1], "GET", "/config", **headers) == 403


def test_a_browsers_question_whether_it_may_is_refused(demo: tuple[str, int]) -> None:
    asks = {"Access_Control_Request_Method": "POST"}
    for host, origin in (("evil.example", "http://evil.example"), ("localhost", "http://evil")):
        headers = {"Host": host, "Origin": origin, **asks}
        assert status(demo[1], "OPTIONS", "/gradio_api/upload", **headers) == 403


def test_a_link_of_another_site_may_be_followed_but_not_framed(demo: tuple[str, int]) -> None:
    link = {"Host": "localhost", "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert status(demo[1], Sec_Fetch_Dest="document", **link) == 200
    assert status(demo[1], Sec_Fetch_Dest="iframe", **link) == 403
    assert status(demo[1], "POST", Sec_Fetch_Dest="document", **link) == 403


def test_a_web_socket_of_another_site_is_refused(demo: tuple[str, int]) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    key = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert status(demo[1], Host="evil.example", **upgrade, **key) == 403


def test_one_address_has_one_name() -> None:
    assert own_names("192.0.2.7") == {"192.0.2.7"}
    assert own_names("0.0.0.0") == {"0.0.0.0", "127.0.0.1", "localhost", "::1"}
    assert own_names("::1", ["[2001:db8::1]"]) == {"::1", "127.0.0.1", "localhost", "2001:db8::1"}
