"""Which requests the demo answers: those that name it by its own address, from its own page.

A page of a stranger, open in the same browser, could otherwise send it pictures, or, by a name
that it lets point at this machine (DNS rebinding), read its answers.
"""

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_LOCAL = ("127.0.0.1", "localhost", "::1")


def own_names(host: str, allowed: Iterable[str] = ()) -> frozenset[str]:
    """The names of an address that is listened at.

    Args:
        host: The address.
        allowed: More names.

    >>> sorted(own_names("127.0.0.1", ["Demo.example"]))
    ['127.0.0.1', '::1', 'demo.example', 'localhost']
    """
    try:
        address = ipaddress.ip_address(host)
        is_local = address.is_loopback or address.is_unspecified
    except ValueError:
        is_local = host == "localhost"
    names = {host, *allowed, *(_LOCAL if is_local else ())}
    return frozenset(name.lower().strip("[]") for name in names)


class Guard:
    """Answers 403 to requests under another name, or of another site's page.

    Args:
        app: What answers the others.
        names: Of this machine, see `own_names`; the address of a connection is always one.
    """

    def __init__(self, app: Application, names: frozenset[str]) -> None:
        self.app = app
        self.names = names

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection."""
        reason = self._refusal(scope) if scope["type"] in ("http", "websocket") else ""
        if not reason:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            body = f"{reason}\n".encode()
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(body)).encode()),
            ]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Message) -> str:
        """Why a request gets no answer; "" where it gets one."""
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = headers.get("host", [])
        name = _name(hosts[0]) if len(hosts) == 1 else ""
        if not name or name not in self.names | _address(scope):
            return (
                f"This demo does not answer to the host {', '.join(hosts)!r:.80}; its user may "
                "allow a name by --allow-host"
            )
        origins = headers.get("origin", [])
        if any(urlsplit(origin).netloc.lower() != hosts[0].lower() for origin in origins):
            return "This demo answers no page of another site."
        site = headers.get("sec-fetch-site", ["none"])[0]
        is_visit = (
            scope.get("method") in ("GET", "HEAD")
            and headers.get("sec-fetch-mode") == ["navigate"]
            and headers.get("sec-fetch-dest") == ["document"]
        )
        if site not in ("none", "same-origin") and not is_visit:
            return "This demo answers no page of another site."
        return ""


def guarded(names: frozenset[str]) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """What puts a `Guard` before a web application at its start, as its ``lifespan``.

    Gradio's own middlewares, which answer some requests themselves, would stand before one of
    the application's.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = Guard(app.middleware_stack, names)
        yield

    return lifespan


def _name(host: str) -> str:
    """A host header without its port, or "" where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return ""
    is_plain = parts.netloc == host and "@" not in host
    return (parts.hostname or "") if is_plain else ""


def _address(scope: Message) -> set[str]:
    """Where the connection came in: under 0.0.0.0 any address of the machine."""
    server = scope.get("server")
    return {str(server[0])} if server else set()
