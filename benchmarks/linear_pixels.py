"""The floor that a network must clear: logistic regression on the pixels of a prepared store.

``python -m benchmarks.linear_pixels STORE``: trains on the official training split, chooses the
regularisation on the validation split, prints the accuracy on the test split.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from ferlit.data.loading.transforms import FaceTransform
from ferlit.data.store import Store


def main(folder: Path) -> None:
    store = Store.open(folder)
    transform = FaceTransform(train=False)
    pixels = np.stack([transform(face).numpy().ravel() for face in store.faces])
    labels = store.records["expression"].to_numpy()
    split = store.records["split"].to_numpy()
    parts = {name: (pixels[split == name], labels[split == name]) for name in set(split)}
    scored = []
    for strength in (1e-5, 1e-4, 1e-3, 1e-2):
        model = LogisticRegression(C=strength, max_iter=300).fit(*parts["train"])
        scored.append((model.score(*parts["val"]), strength, model))
        print(f"C {strength:g}: validation accuracy {scored[-1][0]:.4f}", flush=True)
    _, strength, model = max(scored, key=lambda entry: entry[0])
    right = int((model.predict(parts["test"][0]) == parts["test"][1]).sum())
    count = len(parts["test"][1])
    print(f"C {strength:g}: test accuracy {right / count:.4f} ({right} of {count})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
