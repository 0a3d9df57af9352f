"""``ferlit crossdata``: train on each store, test on each."""
