"""Faces: found in a picture, registered, checked."""
