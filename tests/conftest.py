import os

# Two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Checkpoints of the tests name tests.ferlit.tiny.TinyBackbone.
os.environ.setdefault("FERLIT_TRUST", "tests")
