"""Which faces of a store judge a model: told before the model sees any."""

from collections.abc import Sequence

import numpy as np

from ferlit.data.store import Store
from ferlit.errors import DataError
from ferlit.inference.evaluate.matching import Matching, match_classes
from ferlit.inference.evaluate.models import Model
from ferlit.inference.evaluate.parts import Part
from ferlit.inference.evaluate.results import Judged
from ferlit.runs.seen import seen_among, which_seen
from ferlit.training.fit.evaluating import changed_landmarks


def judge(
    model: Model,
    store: Store,
    name: str,
    part: Part,
    *,
    common: bool = False,
    allow_seen: bool = False,
    leave_out_seen: bool = False,
) -> Judged:
    """A store with all that can be told before the model sees it.

    Args:
        model: The model.
        store: The store.
        name: Of the store, for people.
        part: Its faces.
        common: Let the model answer only what the store has.
        allow_seen: Only warn where the model has seen whom it is judged by.
        leave_out_seen: Leave those out whom it has seen.

    Raises:
        FerlitError: no face is left, or the model has seen some of them.
    """
    matching, part, left_out = known_faces(model.classifier.classes, store, part, common=common)
    seen_before = None
    if leave_out_seen:
        seen_before = seen_among(model.training, store, part.rows, "test")
        part = part.keep(~which_seen(model.training, store, part.rows, "test"))
        if len(part.rows) == 0:
            raise DataError(f"{model.path}: {store.folder}: {seen_before}, so that none is left")
    seen = model.check_people(store, part, allow=allow_seen)
    changed = changed_landmarks(
        model.classifier.preprocessing.landmarks, store.description.landmarks
    )
    return Judged(name, store, part, left_out, matching, seen, tuple(changed), seen_before)


def known_faces(
    classes: Sequence[str], store: Store, part: Part, *, common: bool = False
) -> tuple[Matching, Part, dict[str, int]]:
    """The faces whose expression a model knows.

    Args:
        classes: Those of the model.
        store: The store.
        part: Its faces.
        common: Let the model answer only what the store has.

    Returns:
        The classes, the faces, and how many are left out by their expression.

    Raises:
        FerlitError: there are none.
    """
    matching = match_classes(
        classes, store.description.classes, name=str(store.folder), common=common
    )
    shown = store.records["expression"].to_numpy(str)[part.rows]
    left_out = {
        each: int((shown == each).sum()) for each in matching.only_store if (shown == each).any()
    }
    part = part.keep(np.isin(shown, list(matching.shown)))
    if len(part.rows) == 0:
        raise DataError(
            f"{store.folder}: none of the faces in the part {part.name} shows an expression that "
            f"the model knows, which are {', '.join(classes)}"
        )
    return matching, part, left_out
