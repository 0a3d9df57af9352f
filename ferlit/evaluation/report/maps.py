"""Features in two dimensions."""

from importlib import import_module
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import UsageError

Projection = Literal["pca", "umap"]


def check_projection(name: Projection) -> None:
    """Meet a missing package before anything is computed.

    Raises:
        UsageError: it is not installed.
    """
    if name == "umap":
        try:
            import_module("umap")
        except ImportError:
            raise UsageError(
                "--map umap needs a package that is not installed: pip install umap-learn; "
                "or take --map pca"
            ) from None


def project(features: NDArray[np.floating], name: Projection = "pca") -> NDArray[np.float64]:
    """Features (n, D), n at least 3, as points (n, 2).

    >>> rng = np.random.default_rng(0)
    >>> project(rng.normal(size=(20, 5))).shape
    (20, 2)
    """
    if name == "umap":
        return np.asarray(import_module("umap").UMAP(random_state=0).fit_transform(features))
    from sklearn.decomposition import PCA

    return np.asarray(PCA(2, svd_solver="full").fit_transform(features.astype(np.float64)))
