"""Training in stages, each from the weights of the one before (Liu et al. 2017, Sec. 5.2)."""
