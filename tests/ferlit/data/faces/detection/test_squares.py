import numpy as np
import pytest

from ferlit.data.faces.detection.squares import Square, centered_square, cut, overlapping_squares


@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (513, 513), (300, 1000)])
def test_every_small_face_lies_whole_in_a_square(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for squares in overlapping_squares(shape, least=64):
        face = squares[0].side // 2 - 2
        for _ in range(200):
            top, left = (int(rng.integers(length - face + 1)) for length in shape)
            assert any(
                square.left <= left
                and square.top <= top
                and left + face <= square.left + square.side
                and top + face <= square.top + square.side
                for square in squares
            )


def test_no_square_is_smaller_than_asked() -> None:
    assert list(overlapping_squares((48, 48), least=128)) == []
    sides = [squares[0].side for squares in overlapping_squares((300, 400), least=128)]
    assert sides == [200]


@pytest.mark.parametrize("border", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("shape", [(48, 48), (30, 51), (51, 30), (1, 1)])
def test_the_square_around_a_picture_holds_all_of_it(shape: tuple[int, int], border: float) -> None:
    picture = np.full(shape, 9, np.uint8)
    square = centered_square(shape, border)
    piece = cut(picture, square)
    assert piece.shape == (square.side, square.side)
    assert (piece == 9).sum() == picture.size
    assert set(np.unique(piece)) <= {0, 9}


def test_a_cut_is_where_it_says() -> None:
    picture = np.arange(20 * 30, dtype=np.uint16).astype(np.uint8).reshape(20, 30)
    np.testing.assert_array_equal(cut(picture, Square(4, 3, 10)), picture[3:13, 4:14])
    np.testing.assert_array_equal(cut(picture, Square(-2, 15, 10))[:5, 2:], picture[15:, :8])
