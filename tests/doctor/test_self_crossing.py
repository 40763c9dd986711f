"""Outlines that cross themselves: found with the place; touching is none."""

import numpy as np
import pytest

from bunri.doctor.self_crossing import find_self_crossings


def test_find_crossing__names_the_place():
    box = np.array([[0, 0], [10, 0], [10, 6], [0, 6]], float)
    bow_tie = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], float)
    assert find_self_crossings([box, bow_tie, box]) == {1: (5.0, 5.0)}


@pytest.mark.parametrize(
    "points",
    [
        [[0, 0], [10, 0], [10, 6], [0, 6]],
        [[0, 0], [10, 0], [10, 0], [10, 6], [0, 6]],  # a point twice
        [[0, 0], [10, 0], [10, 6], [0, 6], [0, 0]],  # closed explicitly
        [[0, 0], [4, 0], [4, 4], [8, 4], [8, 8], [4, 8], [4, 4], [0, 4]],  # touches in a corner
        # A hole, joined to the outside by a cut that goes there and back.
        [[0, 0], [9, 0], [9, 9], [0, 9], [0, 0], [3, 3], [3, 6], [6, 6], [6, 3], [3, 3]],
        [[0, 0], [5, 5], [0, 0], [5, 5]],  # no area at all
    ],
)  # fmt: skip
def test_find_crossing__touching_is_none(points):
    assert find_self_crossings([np.array(points, float)]) == {}


def test_find_crossing__a_long_outline():
    angle = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    circle = np.stack((np.cos(angle), np.sin(angle)), axis=1) * 1000
    assert find_self_crossings([circle]) == {}


@pytest.mark.parametrize("num_points", [1_500, 100_000])
def test_find_crossing__heap_of_edges(num_points):
    points = np.random.default_rng(1).uniform(0, 10, (num_points, 2))
    place = find_self_crossings([points])[0]
    assert 0 <= place[0] <= 10
    assert 0 <= place[1] <= 10
