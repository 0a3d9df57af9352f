"""Synthetic people: parametric faces with FACS-like expressions, as an official CK+ tree.

Identity changes the picture more than expression does: in the default tree (24 people, 432
registered faces of 144 sequences) the pixels' nearest neighbour in another sequence is the same
person for 99.1 % of the faces (chance: 3.6 %) and shows the same expression for 0.9 % (chance:
14.4 %); among other people alone it shows the same expression for 36.1 %.
"""

from ferlit.data.synthetic.drawing import Pose, draw_face
from ferlit.data.synthetic.person import EXPRESSIONS, Person, landmarks
from ferlit.data.synthetic.tree import write_ckplus

__all__ = ["EXPRESSIONS", "Person", "Pose", "draw_face", "landmarks", "write_ckplus"]
