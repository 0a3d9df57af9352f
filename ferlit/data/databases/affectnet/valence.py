"""AffectNet tells twice what a face shows: by the expression's code, and by its valence."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

# Codes of faces that are judged pleasant and unpleasant, and those of pictures that are not judged.
_HAPPINESS, _SADNESS = 1, 2
_UNJUDGED = (9, 10)
_OUTSIDE = -2.0  # the valence of what is not judged
_ENOUGH = 20  # of each, to speak of their means


def doubt_of_codes(pairs: Iterable[tuple[int, str]]) -> str:
    """Why the codes cannot be those of the expressions; "" where nothing speaks against it.

    On the published lists the mean valence of happy faces is about 0.65, of sad ones -0.6; what is
    uncertain or no face has -2.

    Args:
        pairs: The code and the valence, a text, of each picture; "" where it is not told.

    >>> doubt_of_codes([(1, "-0.6")] * 20 + [(2, "0.1")] * 20)
    'the faces of the code 1, happiness, have a mean valence of -0.60, those of 2, sadness, 0.10'
    """
    table = pd.DataFrame(pairs, columns=["code", "valence"])
    table["valence"] = pd.to_numeric(table["valence"], errors="coerce")
    table = table[np.isfinite(table["valence"])]
    of_unjudged = table.loc[table["code"].isin(_UNJUDGED), "valence"]
    judged = float((of_unjudged != _OUTSIDE).mean()) if len(of_unjudged) >= _ENOUGH else 0.0
    if judged > 0.5:
        return f"{judged:.0%} of what has the codes 9 and 10, uncertain and no face, has a valence"
    table = table[table["valence"].abs() <= 1]
    means = table.groupby("code")["valence"].agg(["size", "mean"])
    if not {_HAPPINESS, _SADNESS} <= set(means.index[means["size"] >= _ENOUGH]):
        return ""
    happy, sad = (float(means.loc[code, "mean"]) for code in (_HAPPINESS, _SADNESS))
    if happy > sad:
        return ""
    return (
        f"the faces of the code 1, happiness, have a mean valence of {happy:.2f}, those of 2, "
        f"sadness, {sad:.2f}"
    )
