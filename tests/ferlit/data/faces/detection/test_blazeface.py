import numpy as np
import pytest
from numpy.typing import NDArray

from ferlit.data.faces.detection.blazeface import Detections, anchors, decode, overlap, suppress


def loop_anchors() -> list[tuple[float, float]]:
    """MediaPipe's generator: layers of one stride share a grid, two anchors of each layer a cell.

    Options of the short-range model: strides 8, 16, 16, 16, offset 0.5, aspect ratio 1 and the
    interpolated one, fixed size.
    """
    strides, result, layer = [8, 16, 16, 16], [], 0
    while layer < len(strides):
        last, in_cell = layer, 0
        while last < len(strides) and strides[last] == strides[layer]:
            in_cell += 2
            last += 1
        cells = -(-128 // strides[layer])
        for y in range(cells):
            for x in range(cells):
                result += [(128 * (x + 0.5) / cells, 128 * (y + 0.5) / cells)] * in_cell
        layer = last
    return result


def random_detections(seed: int, count: int = 40) -> Detections:
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 60, (count, 2)), rng.uniform(10, 50, (count, 2))
    return Detections(
        np.concatenate([corner, corner + size], axis=1),
        rng.uniform(0, 128, (count, 6, 2)),
        rng.uniform(0.5, 1, count),
    )


def loop_suppress(found: Detections, threshold: float) -> list[tuple[NDArray[np.float64], float]]:
    left = sorted(range(len(found.scores)), key=lambda row: -found.scores[row])
    result = []
    while left:
        best = left[0]
        same, rest = [], []
        for row in left:
            a, b = found.boxes[best], found.boxes[row]
            width = min(a[2], b[2]) - max(a[0], b[0])
            height = min(a[3], b[3]) - max(a[1], b[1])
            shared = width * height if width > 0 and height > 0 else 0.0
            areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
            (same if shared / (areas - shared) > threshold else rest).append(row)
        total = sum(found.scores[row] for row in same)
        mean = sum(found.scores[row] * found.boxes[row] for row in same) / total
        result.append((mean, found.scores[best]))
        left = rest
    return result


def test_the_anchors_are_those_of_mediapipes_generator() -> None:
    np.testing.assert_allclose(anchors(), loop_anchors())


def test_an_output_is_decoded_relative_to_its_own_anchor() -> None:
    rng = np.random.default_rng(0)
    regressors, logits = rng.normal(0, 20, (896, 16)), rng.normal(-3, 2, 896)
    found = decode(regressors, logits, 0.5)
    rows = [row for row in range(896) if 1 / (1 + np.exp(-logits[row])) >= 0.5]
    assert len(found.scores) == len(rows) > 10
    origins = loop_anchors()
    for index, row in enumerate(rows):
        (x, y), values = origins[row], regressors[row]
        left, top, right, bottom = found.boxes[index]
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(
            (x + values[0], y + values[1])
        )
        assert (right - left, bottom - top) == pytest.approx((values[2], values[3]))
        for k in range(6):
            expected = (x + values[4 + 2 * k], y + values[5 + 2 * k])
            assert tuple(found.keypoints[index, k]) == pytest.approx(expected)


def test_extreme_logits_do_not_overflow() -> None:
    with np.errstate(all="raise"):
        found = decode(np.zeros((896, 16)), np.array([1e4, -1e4] * 448), 0.5)
    np.testing.assert_allclose(found.scores, np.ones(448))


@pytest.mark.parametrize("seed", range(5))
def test_suppression_matches_the_loop(seed: int) -> None:
    found = random_detections(seed)
    result, expected = suppress(found, 0.3), loop_suppress(found, 0.3)
    assert 1 < len(expected) < 40
    np.testing.assert_allclose(result.boxes, [box for box, _ in expected])
    np.testing.assert_allclose(result.scores, [score for _, score in expected])


def test_suppression_does_not_depend_on_the_order() -> None:
    found = random_detections(9)
    order = np.random.default_rng(1).permutation(40)
    shuffled = suppress(Detections(*(values[order] for values in found)))
    for one, other in zip(suppress(found), shuffled, strict=True):
        np.testing.assert_allclose(one, other)


def test_no_detection_stays_none() -> None:
    nothing = suppress(decode(np.zeros((896, 16)), np.full(896, -9.0), 0.5))
    assert [values.shape for values in nothing] == [(0, 4), (0, 6, 2), (0,)]


def test_overlap_is_symmetric_and_one_with_itself() -> None:
    boxes = random_detections(2).boxes
    table = np.array([overlap(box, boxes) for box in boxes])
    np.testing.assert_allclose(table, table.T)
    np.testing.assert_allclose(np.diag(table), 1)
    assert 0 <= table.min() < table.max() <= 1 + 1e-12
