"""The model card: what an exported network is, what it is for, and what it is not for.

Mitchell et al., Model cards for model reporting, FAT* 2019.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ferlit.data.preparation.choices import options_text
from ferlit.inference.classifiers.metadata import Metadata
from ferlit.inference.licences import licence_of
from ferlit.inference.origin import Origin, without_paths

_USE = """\
For research on facial expressions, and for showing how such a network works. It tells which of the
expressions above a face most resembles, as people labelled such pictures.
"""
_LIMITS = """\
- It recognises **expressions, not emotions**. A face does not tell what a person feels, thinks or
  is: do not infer emotion, character, intention, truthfulness or health from its output.
- Databases taken in laboratories show expressions that people were asked to pose. Those of everyday
  life are weaker, mixed and brief; expect more errors than on a test part of the same database.
- In the databases of this field children, old people and people with dark skin are few. The
  accuracy by age, sex and skin colour was not measured for this network: measure it on the people
  that you mean to use it with, before you do.
- {calibrated} It names an expression for every input, one without a face
  included.
- Do not decide about people by it. In the European Union, Regulation (EU) 2024/1689 (AI Act),
  Article 5(1)(f), prohibits systems that infer emotions of people at work or in education, but for
  medical and safety reasons; other emotion recognition is listed as high-risk (Annex III), and
  people who are exposed to it must be told (Article 50(3)). Other laws may go further. This is no
  legal advice.
"""
_CALIBRATED = (
    "Its probabilities were calibrated by a temperature on the validation part of its own\n"
    "  database: elsewhere they may be too sure."
)
_NOT_CALIBRATED = "Its probabilities are not calibrated."


def model_card(
    origin: Origin, metadata: Metadata, sums: Mapping[str, str], checks: Sequence[str]
) -> str:
    """The card in Markdown.

    Args:
        origin: The run of the checkpoint.
        metadata: What the exported file says of itself.
        sums: The SHA-256 of the exported file by its name, and of others that belong to it.
        checks: What was compared, and how it came out; one line each.

    Raises:
        DataError: a file of the run is damaged.
    """
    names = ", ".join(metadata.classes)
    sections = {
        "Intended use": _USE,
        "Limits": _LIMITS.format(
            calibrated=_NOT_CALIBRATED if metadata.temperature == 1 else _CALIBRATED
        ),
        "Data": _data(origin),
        "Training": _training(origin),
        "Results": _results(origin),
        "Input": _input(metadata),
        "Licence of the data": _licences(metadata.databases),
        "Export": _export(metadata, sums, checks),
    }
    text = "\n".join(f"## {title}\n\n{body.strip()}\n" for title, body in sections.items())
    return (
        f"# {next(iter(sums))}\n\nA network that recognises facial expressions: {names}. "
        f"Exported by ferlit {metadata.ferlit_version} ({metadata.precision}).\n\n{text}"
    )


def _data(origin: Origin) -> str:
    if not origin.databases:
        return "Not known: the checkpoint was exported without the folder of its run."
    own = origin.own_databases or origin.databases[:1]
    lines = [f"Trained on {' and '.join(f'`{name}`' for name in dict.fromkeys(own))}."]
    others = [name for name in origin.databases if name not in own]
    if others:
        earlier = ", ".join(f"`{name}`" for name in others)
        lines[0] += f" Its first weights come from a network that was trained on {earlier}."
    if origin.fold is not None:
        fold, folds = origin.fold
        lines.append(
            f"Round {fold} (from 0) of {folds} folds by pictures: the same person may be in "
            "several of the parts, so the results are higher than for other people."
            if origin.folds_by == "image"
            else f"Round {fold} (from 0) of {folds} subject-independent folds: no person is in two "
            "of the parts."
        )
    elif origin.config:
        lines.append("The database's own split.")
    if origin.stores:
        lines.append("\n| store | read by | landmarks | images |\n|---|---|---|---|")
    for each in origin.stores:
        options = options_text(each["database"], each.get("reader")).replace("|", "\\|")
        lines.append(
            f"| `{each['database']}` | {options or '-'} | {each.get('landmarks') or 'not known'} | "
            f"{each.get('images') or 'not known'} |"
        )
    if {"split", "images", "identity"} <= set(origin.split):
        lines.append("\n| part | images | people |\n|---|---|---|")
        for part in ("train", "val", "test"):
            rows = origin.split[origin.split["split"] == part]
            people = rows.loc[rows["identity"] != "", "identity"].nunique()
            lines.append(f"| {part} | {rows['images'].sum()} | {people or 'not known'} |")
    return "\n".join(lines)


def _training(origin: Origin) -> str:
    if not origin.config:
        return "Not known."
    kept: dict[str, Any] = {
        "seed_everything": origin.config.get("seed_everything"),
        "model": origin.config.get("model"),
        "data": origin.config.get("data"),
        "trainer": {"max_epochs": origin.config.get("trainer", {}).get("max_epochs")},
    }
    text = yaml.safe_dump(without_paths(kept), sort_keys=False)
    return f"`ferlit fit` with\n\n```yaml\n{text}```"


def _results(origin: Origin) -> str:
    lines = [
        f"- by {level}: {values['correct']:.0f} of {values['total']:.0f}, "
        f"{values['accuracy']:.1%} (mean over the classes {values['class_mean']:.1%})"
        for level, values in origin.metrics.items()
        if {"correct", "total", "accuracy", "class_mean"} <= set(values)
    ]
    if not lines:
        return "Not known: there is no test beside the checkpoint."
    was_averaged = (origin.config.get("model", {}).get("init_args") or {}).get("flip_average")
    how = "with" if was_averaged else "without"
    text = f"The checkpoint on the test part, in float32, {how} flip averaging:\n\n"
    text += "\n".join(lines)
    people = origin.metrics.get("people") or {}
    if people.get("images"):
        text += (
            f"\n\n{people['images']} of {people['of']} tested images, or their persons, had been "
            "trained or validated on, so these figures flatter."
        )
    if "actual" in origin.confusion:
        counts = origin.confusion.drop(columns="actual").to_numpy()
        text += "\n\n| expression | recognised | of images |\n|---|---|---|"
        for number, name in enumerate(origin.confusion["actual"]):
            text += f"\n| {name} | {counts[number, number]} | {counts[number].sum()} |"
    return text


def _input(metadata: Metadata) -> str:
    size, face = metadata.input_size, metadata.face_size
    preprocessing = metadata.preprocessing
    source = {
        "none": "the pictures of the training were aligned faces",
        "database": "in training the landmarks were the database's own",
    }.get(
        preprocessing.landmarks,
        f"in training the landmarks were found by {preprocessing.landmarks}",
    )
    steps = [
        f"The face in grey, registered to {face} x {face} by a similarity transform that takes its "
        f"49 landmarks nearest to the canonical ones, which the file holds ({source})",
        f"its centre, {size} x {size}",
        *(["histogram equalised"] if preprocessing.equalize else []),
        *(["least-squares plane of grey values subtracted"] if preprocessing.fit_plane else []),
        metadata.standardize,
    ]
    flip = " They are the mean over the face and its mirror image." if metadata.flip_average else ""
    held = ", ".join(
        f"{name} {100 * share:.1f} %"
        for name, share in zip(metadata.classes, metadata.prior, strict=False)
    )
    prior = f" They hold these shares of the expressions: {held}." if held else ""
    vote = {"max": "highest single probability", "mean": "highest mean probability"}
    return (
        "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
        + f"\n\nInput `faces`, (batch, 1, {size}, {size}) float32; output `probabilities`, (batch, "
        f"{len(metadata.classes)}), in the order above.{flip}{prior} For a sequence: the "
        f"expression with the {vote[metadata.sequence_rule]} over its images. `ferlit "
        "recognise` does all of this."
    )


def _licences(databases: Sequence[str]) -> str:
    if not databases:
        return "The data are not known here. Their terms hold for the network too: ask its maker."
    rows = "\n".join(f"| `{name}` | {licence_of(name)} |" for name in databases)
    return (
        f"| database | terms |\n|---|---|\n{rows}\n\n"
        "This is a summary. The agreement of each database decides, also on whether the network "
        "may be passed on or used for profit. ferlit itself is MIT."
    )


def _export(metadata: Metadata, sums: Mapping[str, str], checks: Sequence[str]) -> str:
    lines = [f"- {check}" for check in checks]
    lines += ["", "| file | SHA-256 |", "|---|---|"]
    lines += [f"| {name} | `{digest}` |" for name, digest in sums.items()]
    lines += [f"| the checkpoint | `{metadata.checkpoint_sha256}` |"]
    return "\n".join(lines)
