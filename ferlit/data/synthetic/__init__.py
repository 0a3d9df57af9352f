"""Synthetic people: parametric faces with FACS-like expressions, as an official CK+ tree."""

from ferlit.data.synthetic.drawing import Pose, draw_face
from ferlit.data.synthetic.person import EXPRESSIONS, Person, landmarks
from ferlit.data.synthetic.tree import write_ckplus

__all__ = ["EXPRESSIONS", "Person", "Pose", "draw_face", "landmarks", "write_ckplus"]
