"""Faces and their 49 landmarks, found in pictures that come without them.

`make_detector` makes a detector once; it may then be called from several threads or sent to other
processes.
"""

from ferlit.data.faces.detection.found import Detector, Found
from ferlit.data.faces.detection.making import make_detector
from ferlit.data.faces.detection.plausibility import is_plausible, plausible_faces

__all__ = ["Detector", "Found", "is_plausible", "make_detector", "plausible_faces"]
