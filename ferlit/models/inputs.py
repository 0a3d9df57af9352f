"""What every backbone takes."""

from torch import Tensor


def check_faces(image: Tensor) -> None:
    """See that a backbone gets (B, 1, 48, 48) faces.

    Raises:
        ValueError: the shape is another one.
    """
    if image.ndim != 4 or image.shape[1:] != (1, 48, 48):
        raise ValueError(f"faces of shape {tuple(image.shape)}; expected (B, 1, 48, 48)")
