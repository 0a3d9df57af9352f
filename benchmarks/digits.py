"""Embeddings of digits that should ignore who wrote them: ``python -m benchmarks.digits``.

Short for ``python -m benchmarks.embeddings --data digits``.
"""

import sys

from benchmarks.embeddings.command import main

if __name__ == "__main__":
    main(["--data", "digits", *sys.argv[1:]])
