"""``ferlit models``: the trained networks that come with ferlit."""

import argparse

from ferlit import shipped
from ferlit.errors import UsageError
from ferlit.packed import description_of, read_description

_EPILOG = """\
recognise, demo, evaluate and export take such a name for a model, and --model.init_from starts a
training from its weights:
  ferlit recognise photo.jpg
  ferlit recognise --model fer2013 photo.jpg
  ferlit evaluate --model ferplus --store STORE
  ferlit fit --config folder.yaml --data.root my_faces --model.init_from ferplus
"""


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit models``."""
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="List the trained networks that come with ferlit, or print the card of one.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", help="print the model card of this one")
    given = parser.parse_args(options)
    if given.name is None:
        _list()
        return
    if given.name not in shipped.names():
        raise UsageError(
            f"{given.name}: no network of ours; known are {', '.join(shipped.names())}"
        )
    card = shipped.weights_of(given.name).with_suffix(".md")
    print(card.read_text(encoding="utf-8"), end="")


def _list() -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for name in shipped.names():
        path = shipped.weights_of(name)
        said = read_description(path)
        size = path.stat().st_size + description_of(path).stat().st_size
        default = " (the default)" if name == shipped.DEFAULT else ""
        lines = [
            f"{name}{default}: {len(said['classes'])} expressions: {', '.join(said['classes'])}",
            f"  {size / 1e6:.1f} MB; {said['licence']}",
        ]
        by_image = (said.get("figures") or {}).get("image")
        if by_image:
            lines.append(
                f"  on the test part of {said['databases'][0]}: {by_image['accuracy']:.1%} "
                f"({by_image['correct']:.0f} of {by_image['total']:.0f}), mean over the classes "
                f"{by_image['class_mean']:.1%}"
            )
        for line in lines:
            console.print(line, markup=False)
