"""A trained network as a function from faces to probabilities, whatever file it comes in."""
