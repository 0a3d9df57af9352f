"""From stored faces to the network's input on the device that holds both.

Loaders then hand out what is drawn for a face in place of its pixels. Crops, flips and equalised
histograms have the grey values of `FaceTransform`; a turned, enlarged or moved face differs from
that of OpenCV by one grey value in less than one pixel of a thousand, as its sums are rounded in
another order; all that follows agrees to the rounding of float32.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferlit.data.loading.draws import Draws
from ferlit.data.store.joined import JoinedFaces
from ferlit.errors import FerlitError

_AT_ONCE = 16_384  # faces that are copied to the device in one piece


def upload(faces: NDArray[np.uint8] | JoinedFaces, device: torch.device) -> Tensor:
    """Copy all faces of a store to a device.

    Args:
        faces: (n, H, W).
        device: Where to.

    Returns:
        (n, H, W) uint8.

    Raises:
        FerlitError: the device has no room for them.
    """
    try:
        held = torch.empty(faces.shape, dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError as error:
        size = np.prod(faces.shape) / 1e6
        raise FerlitError(
            f"--data.on_device true: {device} has no room for {len(faces)} faces of {size:.0f} MB; "
            "leave it out"
        ) from error
    for start in range(0, len(faces), _AT_ONCE):
        piece = np.array(faces[start : start + _AT_ONCE])
        held[start : start + len(piece)] = torch.from_numpy(piece)
    return held


def pack(draws: Draws) -> Tensor:
    """What is drawn for each face, as one tensor for the way to the device.

    Returns:
        (B, 7) int32 places, flips and holes; (B, 13) with maps before them, from the input back to
        the stored face, by the bits of their float32 numbers, which no precision of the training
        then changes.
    """
    whole = np.concatenate([draws.places, draws.flipped[:, None], draws.holes], axis=1)
    packed = torch.from_numpy(whole.astype(np.int32))
    if draws.maps is None:
        return packed
    square = np.concatenate([draws.maps, np.broadcast_to([[[0.0, 0, 1]]], (len(whole), 1, 3))], 1)
    back = np.linalg.inv(square)[:, :2].reshape(-1, 6).astype(np.float32)
    return torch.cat([torch.from_numpy(back).view(torch.int32), packed], dim=1)


def transform(
    faces: Tensor, packed: Tensor, size: int, *, equalize: bool, fit_plane: bool
) -> Tensor:
    """What `FaceTransform.batch` makes of faces, where they are.

    Args:
        faces: (B, H, W) uint8.
        packed: (B, 7) or (B, 13), see `pack`, on the same device.
        size: Of the crops.
        equalize: Equalise the histograms.
        fit_plane: Subtract the fitted plane of grey values.

    Returns:
        (B, 1, size, size) float32.
    """
    maps, whole = packed[:, :-7], packed[:, -7:].long()
    values = cut(faces, maps.view(torch.float32), whole[:, :3], size)
    if equalize:
        values = _equalize(values)
    images = values.float()
    images = _subtract_plane(images) if fit_plane else images
    images = images - images.mean((1, 2), keepdim=True)
    images /= images.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)
    images = images.masked_fill(_is_hole(whole[:, 3:], size), 0)
    return images[..., None].permute(0, 3, 1, 2)


def cut(faces: Tensor, maps: Tensor, places: Tensor, size: int) -> Tensor:
    """What `ferlit.data.loading.geometry.cut` does.

    Args:
        faces: (B, H, W) uint8.
        maps: (B, 6) float32 from a point of the varied face to one of the stored face; (B, 0) where
            faces stay as they are.
        places: (B, 3) rows and columns of the crops, and whether they are mirrored.
        size: Of the crops.

    Returns:
        (B, size, size) grey values, as int64.
    """
    top, left, flipped = places.T[..., None]
    pixels = torch.arange(size, device=faces.device)
    y = (top + pixels)[:, :, None]
    x = (left + torch.where(flipped.bool(), size - 1 - pixels, pixels))[:, None, :]
    if not maps.numel():
        return _grey(faces, y, x)
    (xx, xy, x0), (yx, yy, y0) = maps.view(-1, 2, 3, 1, 1).permute(1, 2, 0, 3, 4)
    from_x, from_y = xx * x + xy * y + x0, yx * x + yy * y + y0
    column, row = from_x.floor(), from_y.floor()
    right, down = from_x - column, from_y - row
    columns, rows = column.long(), row.long()
    height, width = faces.shape[1:]
    near = [_reflected(rows + step, height) for step in (0, 1)]
    beside = [_reflected(columns + step, width) for step in (0, 1)]
    corners = [[_grey(faces, row, column).float() for column in beside] for row in near]
    upper, lower = (torch.lerp(first, second, right) for first, second in corners)
    return torch.lerp(upper, lower, down).round().long()


def _grey(faces: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(B, size, size) int64 values at rows and columns that broadcast to that."""
    places = (rows * faces.shape[2] + columns).flatten(1)
    size = int(rows.shape[1])
    return faces.flatten(1).gather(1, places).view(len(faces), size, -1).long()


def _reflected(places: Tensor, size: int) -> Tensor:
    """Places beyond the border as their mirror images, which leave the border pixel out."""
    around = 2 * (size - 1)
    places = places.abs() % around
    return torch.where(places < size, places, around - places)


def _equalize(values: Tensor) -> Tensor:
    """Equalised as OpenCV does, in float32: the lowest grey becomes 0, the highest 255."""
    flat = values.flatten(1)
    counts = torch.zeros(len(flat), 256, dtype=torch.long, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = counts.gather(1, flat.amin(1, keepdim=True))
    scale = torch.tensor(255.0, device=flat.device) / (flat.shape[1] - lowest)
    table = ((counts.cumsum(1) - lowest) * scale).round().clamp(0, 255)
    is_constant = lowest == flat.shape[1]
    return torch.where(is_constant, flat, table.gather(1, flat).long()).view_as(values)


def _subtract_plane(images: Tensor) -> Tensor:
    """See `ferlit.data.loading.transforms.subtract_plane`."""
    size = images.shape[-1]
    centred = torch.arange(size, dtype=images.dtype, device=images.device) - (size - 1) / 2
    y, x = centred[:, None], centred[None, :]
    norm = size * centred.square().sum()
    slopes = [(axis * images).sum((1, 2), keepdim=True) / norm * axis for axis in (x, y)]
    return images - images.mean((1, 2), keepdim=True) - slopes[0] - slopes[1]


def _is_hole(holes: Tensor, size: int) -> Tensor:
    """(B, size, size) whether a pixel is emptied."""
    left, top, right, bottom = holes.T[..., None]
    pixels = torch.arange(size, device=holes.device)
    rows = (pixels >= top) & (pixels < bottom)
    columns = (pixels >= left) & (pixels < right)
    inside: Tensor = rows[:, :, None] & columns[:, None, :]
    return inside
