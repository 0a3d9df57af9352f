"""Embeddings of faces that should ignore whose they are: ``python -m benchmarks.faces``.

Short for ``python -m benchmarks.embeddings --data faces``. The files that it
needs: see `benchmarks.embeddings.faces`.
"""

import sys

from benchmarks.embeddings.command import main

if __name__ == "__main__":
    main(["--data", "faces", *sys.argv[1:]])
