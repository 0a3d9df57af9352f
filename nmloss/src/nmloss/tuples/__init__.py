"""The tuples of a batch: their members, how far these are from a centre, and how they are found."""
