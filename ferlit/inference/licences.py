"""On what terms the databases may be used; a network trained on them inherits the question."""

from collections.abc import Sequence

_RESEARCH = "research only, not for commercial use; by a signed agreement"
_FER2013 = (
    "published for a competition on Kaggle; the pictures were found on the web, and the rights are "
    "with their owners"
)
LICENCES = {
    "ckplus": _RESEARCH,
    "ck48": f"as CK+, from which it was cut: {_RESEARCH}",
    "mmi": _RESEARCH,
    "sfew": f"{_RESEARCH}; frames of films, whose rights are with their owners",
    "multipie": "research only, by a licence of Carnegie Mellon University",
    "fer2013": _FER2013,
    "ferplus": f"labels: MIT; pictures: those of FER2013, {_FER2013}",
    "rafdb": _RESEARCH,
    "affectnet": _RESEARCH,
    "jaffe": "research only, not for commercial use",
    "kdef": "research only, not for commercial use",
    "oulu_casia": _RESEARCH,
    "synthetic": "drawn by ferlit; MIT, as ferlit",
}
_OWN = "your own data: you know their terms"


def licence_of(database: str) -> str:
    """The terms of a database, in a few words; its agreement decides.

    >>> licence_of("jaffe")
    'research only, not for commercial use'
    """
    return LICENCES.get(database, _OWN)


def licence_note(databases: Sequence[str]) -> str:
    """One line for a file's metadata.

    >>> licence_note(["synthetic"])
    'trained on synthetic (drawn by ferlit; MIT, as ferlit)'
    """
    if not databases:
        return "trained on data that are not known here; their terms hold for the network too"
    return "trained on " + ", ".join(f"{name} ({licence_of(name)})" for name in databases)
