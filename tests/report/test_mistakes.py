"""Kinds of mistakes, on masks small enough to count by hand."""

import numpy as np
import pytest

from bunri.core.errors import InputError
from bunri.report.mistakes import MISTAKE_COLORS_RGB, Mistakes, count_kinds, draw_mistakes

# 100 x 100, so that the band is 3 pixels wide (2 % of 141).
TRUTH = np.zeros((100, 100), np.uint8)
TRUTH[20:60, 20:60] = 1
TRUTH[80:90, 80:90] = 255


@pytest.fixture
def prediction():
    prediction = TRUTH.copy()
    prediction[TRUTH == 255] = 2  # ignored
    prediction[35:45, 30:32] = 0  # missed, 20 pixels, 10 and more from any outline
    prediction[35:45, 40:43] = 2  # confused, 30 pixels
    prediction[70:75, 40:50] = 1  # invented, 50 pixels, 10 below the square
    prediction[20:22, 20:60] = 0  # missed, 80 pixels along the upper outline
    return prediction


def test_mistakes__of_a_painted_pair(prediction):
    mistakes = Mistakes.of(TRUTH, prediction, 3)
    assert mistakes.num_pixels == 100 * 100 - 100
    assert mistakes.count() == {"missed": 100, "invented": 50, "confused": 30, "boundary": 80}
    assert [0, 1, 50, 0] in mistakes.list_cells()
    assert [1, 0, 100, 80] in mistakes.list_cells()
    assert [1, 2, 30, 0] in mistakes.list_cells()
    assert sum(cell[2] for cell in mistakes.list_cells()) == mistakes.num_pixels


def test_mistakes__first_three_kinds_are_all_that_is_wrong(prediction):
    mistakes = Mistakes.of(TRUTH, prediction, 3)
    kinds = count_kinds(mistakes.matrix)
    assert sum(kinds.values()) == ((prediction != TRUTH) & (TRUTH != 255)).sum()


def test_mistakes__none():
    counts = Mistakes.of(TRUTH, np.where(TRUTH == 255, 0, TRUTH).astype(np.uint8), 3).count()
    assert set(counts.values()) == {0}


def test_mistakes__add_up(prediction):
    one = Mistakes.of(TRUTH, prediction, 3)
    both = one + one
    assert both.count() == {kind: 2 * count for kind, count in one.count().items()}


def test_mistakes__sizes_differ():
    with pytest.raises(InputError, match="sizes differ"):
        Mistakes.of(TRUTH, TRUTH[:50], 3)


def test_draw_mistakes__each_kind_in_its_colour(prediction):
    image = np.full((100, 100, 3), 50, np.uint8)
    drawn = draw_mistakes(image, TRUTH, prediction, opacity=1.0)
    assert tuple(drawn[40, 30]) == MISTAKE_COLORS_RGB["missed"]
    assert tuple(drawn[72, 45]) == MISTAKE_COLORS_RGB["invented"]
    assert tuple(drawn[40, 41]) == MISTAKE_COLORS_RGB["confused"]
    assert (drawn[85, 85] == 50).all()  # ignored
    assert (drawn[5, 5] == 50).all()
    assert (image == 50).all()
