"""``ferlit export``: a checkpoint as ONNX or pt2 file, checked, with a model card."""
