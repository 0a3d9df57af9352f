import numpy as np
import pytest

from ferlit.data.faces.detection.areas import Area, around, corners


def test_edges_and_slopes_have_no_corners() -> None:
    picture = np.full((192, 256), 40, np.uint8)
    picture[:, 100:] = 220
    slope = np.tile(np.linspace(0, 255, 256), (192, 1)).astype(np.uint8)
    assert not corners(picture).any()
    assert not corners(slope).any()
    assert not corners(np.full((1, 1), 9, np.uint8)).any()


def test_a_corner_is_in_its_cell_unless_it_is_covered() -> None:
    picture = np.full((96, 128), 60, np.uint8)
    picture[38:43, 86:91] = 200
    expected = np.zeros((6, 8), bool)
    expected[2, 5] = True
    np.testing.assert_array_equal(corners(picture), expected)
    assert not corners(picture, [(80, 32, 96, 48)]).any()


@pytest.mark.parametrize("seed", range(20))
def test_areas_hold_every_cell_with_its_neighbours_and_do_not_meet(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.random((12, 16)) < rng.choice([0.01, 0.05, 0.3])
    areas = around(cells)
    times = np.zeros(cells.shape, int)
    for left, top, right, bottom in areas:
        times[top:bottom, left:right] += 1
    assert times.max(initial=0) <= 1
    for row, column in np.argwhere(cells):
        near = times[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert near.all()
    assert len(areas) <= 6


def test_nothing_has_no_area() -> None:
    assert around(np.zeros((3, 4), bool)) == []
    assert around(np.ones((1, 1), bool)) == [Area(0, 0, 1, 1)]
