"""The demo's web page, by Gradio."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferlit.inference.demo.answers import Answer
from ferlit.inference.demo.cards import STYLE
from ferlit.inference.demo.guard import guarded, own_names

if TYPE_CHECKING:
    import gradio

_LARGEST_FILE = "64mb"
_FONTS = ("system-ui", "sans-serif")  # of the machine: none is fetched
_MONOSPACE = ("ui-monospace", "monospace")


def build_page(answer: Callable[[str | None], Answer], note: str, uploads: Path) -> "gradio.Blocks":
    """The page, not yet served.

    Args:
        answer: From the file of a picture to what is shown.
        note: HTML about the model.
        uploads: Gradio's folder of them; no other file is read.
    """
    import gradio as gr

    def show(upload: dict[str, Any] | None) -> tuple[Any, str, Any]:
        path = None if upload is None else upload["path"]
        # Gradio looks only at files that a request declares to be such.
        if path is not None and not Path(path).resolve().is_relative_to(uploads.resolve()):
            raise gr.Error("This file was not uploaded.")
        shown = answer(path)
        # A browser would show the frame of a broken picture.
        kept = gr.skip() if shown.is_readable else None
        return shown.picture, shown.html, kept

    with gr.Blocks(title="ferlit", analytics_enabled=False) as page:
        gr.HTML("<h1>Facial expressions</h1>")
        with gr.Row(equal_height=True):
            picture = gr.Image(
                label="picture",
                sources=["upload", "webcam", "clipboard"],
                buttons=["fullscreen"],
                height=420,
            )
            found = gr.Image(
                label="faces found",
                format="jpeg",
                interactive=False,
                buttons=["download", "fullscreen"],
                height=420,
            )
        answers = gr.HTML(elem_id="answers")
        gr.HTML(note)
        # Not its change, which emptying it would be too.
        gr.on(
            [picture.input, picture.clear],
            show,
            picture,
            [found, answers, picture],
            api_name="recognise",
            preprocess=False,  # the file as it came: reading it, or refusing it, is ours
        )
    return page


@contextmanager
def served(
    answer: Callable[[str | None], Answer],
    note: str,
    host: str,
    port: int,
    allowed: Sequence[str] = (),
) -> Iterator[str]:
    """Serve the page; what was uploaded is deleted in the end.

    Args:
        answer: From the file of a picture to what is shown.
        note: HTML about the model.
        host: Address to listen at.
        port: Its port.
        allowed: Names besides the address's own under which the page may be asked for.

    Yields:
        The address of the page.

    Raises:
        OSError: the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="ferlit-demo-") as uploads:
        # Gradio reads these when it is imported, and when a page is built.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = uploads
        import gradio as gr

        page = build_page(answer, note, Path(uploads))
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            inline=False,
            quiet=True,
            show_error=True,
            ssr_mode=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            max_file_size=_LARGEST_FILE,
            app_kwargs={"lifespan": guarded(own_names(host, allowed))},
            theme=gr.themes.Default(font=_FONTS, font_mono=_MONOSPACE),
            css=STYLE,
        )
        try:
            yield address
        finally:
            page.close(verbose=False)


def wait() -> None:
    """Until Ctrl-C, which is how a demo ends, or a polite kill, so that both clean up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while True:
            time.sleep(0.2)
    except KeyboardInterrupt:
        return
