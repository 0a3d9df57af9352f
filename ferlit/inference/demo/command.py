"""``ferlit demo``: a local web page that recognises the faces of pictures and of a webcam."""

import argparse
import ipaddress
import logging
import socket
from pathlib import Path

from ferlit.errors import FerlitError, UsageError
from ferlit.extras import require
from ferlit.options import add_landmark_models, add_least, add_model, add_prior, add_trust

logger = logging.getLogger(__name__)

_HIGHEST_PORT = 65535
_PORTS_TO_TRY = 100


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit demo``."""
    given = _parser(command).parse_args(options)
    require("gradio", extra="demo")
    check_port(given.host, given.port)
    # Heavy imports only now, so that --help and a mistyped option answer at once.
    from ferlit.data.store import Store
    from ferlit.inference.demo.answers import Answers, describe
    from ferlit.inference.demo.cards import note
    from ferlit.inference.demo.neighbours import NearestFaces, why_no_metric_branch
    from ferlit.inference.demo.page import served, wait
    from ferlit.inference.prior import parse_prior
    from ferlit.inference.recogniser import Recogniser
    from ferlit.shipped import DEFAULT, place_of

    store = Store.open(given.store) if given.store else None
    recogniser = Recogniser(
        given.model,
        given.device,
        given.landmarks,
        prior=None if given.prior is None else parse_prior(given.prior),
        least=given.least,
        landmark_models=given.landmark_models,
        trust=given.trust,
    )
    model = place_of(given.model or DEFAULT)
    paragraphs = describe(recogniser, model)
    nearest = None
    if store is not None:
        reason = why_no_metric_branch(recogniser)
        if reason:
            logger.warning("--store %s shows no nearest faces: %s", given.store, reason)
            paragraphs.append(f"No nearest training faces are shown: {reason}.")
        else:
            nearest = NearestFaces(recogniser, model, store)
    try:
        answers = Answers(recogniser, nearest)
        with served(answers, note(paragraphs), given.host, given.port, given.allow_host) as page:
            _warn_if_public(given.host)
            print(f"{page}  (Ctrl-C ends it)", flush=True)
            wait()
    except OSError as error:
        check_port(given.host, given.port)  # somebody may have taken it since
        raise FerlitError(f"the page cannot be served ({error})") from error


def check_port(host: str, port: int) -> None:
    """Make sure that a page can be served there.

    Raises:
        UsageError: there is no such address or port here, or it needs more rights.
        FerlitError: another program has it; the message says which is free.

    >>> check_port("127.0.0.1", 70000)
    Traceback (most recent call last):
        ...
    ferlit.errors.UsageError: --port 70000: from 1 to 65535
    """
    if not 1 <= port <= _HIGHEST_PORT:
        raise UsageError(f"--port {port}: from 1 to {_HIGHEST_PORT}")
    try:
        _bind(host, port)
    except PermissionError as error:
        raise UsageError(f"--port {port}: only root may use it; take one from 1024 up") from error
    except socket.gaierror as error:
        raise UsageError(
            f"--host {host}: no IPv4 address or name of this machine ({error.strerror}); "
            "take 127.0.0.1"
        ) from error
    except OSError as error:
        free = _free_port(host, port)
        if free is None:
            raise UsageError(
                f"--host {host}: it cannot be listened at ({error.strerror}); take 127.0.0.1"
            ) from error
        raise FerlitError(
            f"port {port} is taken by another program, perhaps another demo; take --port {free}"
        ) from error


def _free_port(host: str, taken: int) -> int | None:
    for port in range(taken + 1, min(taken + _PORTS_TO_TRY, _HIGHEST_PORT + 1)):
        try:
            _bind(host, port)
        except OSError:
            continue
        return port
    return None


def _bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))


def _warn_if_public(host: str) -> None:
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if not is_local:
        logger.warning(
            "--host %s: whoever reaches this machine can use the page and its model, without a "
            "password, by its address or a name that --allow-host gives. Browsers give the webcam "
            "to pages of localhost or https alone",
            host,
        )


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Serve a web page on this machine: the expressions of the faces in a picture "
        "or before a webcam. Needs pip install 'ferlit[demo]'. Nothing leaves the machine.",
    )
    add_model(parser)
    parser.add_argument("--port", type=int, default=7860, help="default: 7860")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default: 127.0.0.1, this machine alone; 0.0.0.0: the network)",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another name of this machine under which browsers may ask for the page, as that of "
        "a proxy; its addresses need none. May be given several times",
    )
    parser.add_argument(
        "--store",
        type=Path,
        help="a prepared store: show the training faces that the checkpoint's metric branch puts "
        "nearest to a face",
    )
    parser.add_argument(
        "--landmarks",
        choices=("mediapipe", "dlib", "none"),
        help="what finds the faces (none: each picture is a cropped face); by default what the "
        "model was trained with, or mediapipe",
    )
    add_landmark_models(parser)
    add_trust(parser)
    add_prior(parser)
    add_least(parser)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    return parser
