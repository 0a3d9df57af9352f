"""``ferlit fit``, ``validate``, ``test`` and ``predict``: options, checkpoints, settings."""
