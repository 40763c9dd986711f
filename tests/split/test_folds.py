"""Groups, the balance figure, and who goes into which fold."""

import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.core.errors import InputError
from bunri.labels.coco import read_coco
from bunri.split.balance import Contents, measure_balance, measure_contents
from bunri.split.folds import (
    Parts,
    find_absent,
    find_required,
    split_groups,
    split_randomly,
    stratify_groups,
)
from bunri.split.groups import join_photos, match_names, require_matches
from tests.coco_data import box, make_annotation, make_document, make_image, write_coco

# -- groups ------------------------------------------------------------------------------------


def test_join_photos__links_and_keys_reach_over_others():
    keys = [None, "a", None, "b", "a", None, None]
    # 2-5 by a link, 5-4 by a link, 4-1 by the key: all of them are one group.
    assert join_photos(7, [(5, 2), (4, 5)], keys) == [(0,), (1, 2, 4, 5), (3,), (6,)]
    assert join_photos(3, []) == [(0,), (1,), (2,)]
    assert join_photos(0, []) == []


@given(st.integers(1, 12), st.data())
def test_join_photos__equals_walking_the_links(count, data):
    places = st.integers(0, count - 1)
    links = data.draw(st.lists(st.tuples(places, places), max_size=12))
    groups = join_photos(count, links)
    assert sorted(place for group in groups for place in group) == list(range(count))
    reach = np.eye(count, dtype=bool)
    for one, other in links:
        reach[one, other] = reach[other, one] = True
    for _ in range(count):
        reach = reach @ reach
    for group in groups:
        assert tuple(np.flatnonzero(reach[group[0]])) == group


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        (r"scene_(\d+)", ["12", "12", None, "7"]),
        (r"scene_\d+", ["scene_12", "scene_12", None, "scene_7"]),
        (r"^b/", [None, "b/", None, None]),
        (r"(left)|scene", [None, "left", None, None]),  # a group that takes no part is no key
        (None, [None] * 4),
    ],
)
def test_match_names__first_group_or_all_of_it(pattern, keys):
    names = ["a/scene_12_l.jpg", "b/scene_12_left.jpg", "a/other.jpg", "a/scene_7.jpg"]
    if pattern == r"(left)|scene":
        names[1] = "b/left.jpg"
    assert match_names(names, pattern) == keys


@pytest.mark.parametrize("pattern", ["scene_(", "*", "(?P<x", "a{99999999999999999999}"])
def test_match_names__no_regular_expression(pattern):
    with pytest.raises(InputError, match="is not a regular expression"):
        match_names(["a.jpg"], pattern)


def test_match_names__a_pattern_that_python_warns_of_is_one_all_the_same():
    assert match_names(["a[b.jpg", "ab.jpg"], "[[]b") == ["[b", None]


def test_require_matches__found_in_no_name():
    with pytest.raises(InputError, match=r"found in none of 2 file names, such as 'a\.jpg'"):
        require_matches(["a.jpg", "b.jpg"], "scene")
    assert require_matches(["a.jpg"], None) == [None]


# -- contents and balance ----------------------------------------------------------------------


def make_contents(pixels, area=100):
    """Return contents from rows of pixels of each class but the background."""
    inner = np.array(pixels, np.int64)
    background = area - inner.sum(axis=1, keepdims=True)
    return Contents(np.concatenate([background, inner], axis=1), np.full(len(inner), area))


def test_measure_contents__counts_drawn_pixels(tmp_path):
    document = make_document(
        images=[make_image(4, "a.jpg"), make_image(9, "b.jpg", 20, 20)],
        annotations=[
            make_annotation(1, 4, 2, box(5, 8, 10, 6)),
            make_annotation(2, 4, 5, box(5, 8, 10, 2)),  # on top of it, since smaller
            make_annotation(3, 9, 2, box(0, 0, 3, 3)),
        ],
    )
    calls = []
    dataset = read_coco(write_coco(tmp_path, document))
    contents = measure_contents(dataset, "largest-first", lambda: calls.append(1))
    assert contents.areas.tolist() == [1200, 400]
    assert contents.pixels[0].tolist() == [1140, 0, 0, 40, 0, 0, 20, 0, 0, 0, 0, 0]
    assert contents.pixels[1].tolist() == [391, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]
    assert contents.seen == [3, 6]
    assert contents.features.tolist() == [[1, 1200, 1, 1, 40, 20], [1, 400, 1, 0, 9, 0]]
    assert len(calls) == 2


def test_measure_balance__by_hand():
    # Class 1 in all four photos, class 2 in the first two.
    contents = make_contents([[10, 20], [30, 40], [10, 0], [30, 0]])
    halves = (0.5, 0.5)
    balance = measure_balance(contents, np.array([0, 1, 1, 0]), halves)
    # Presence: 1/2 of the photos of each part show class 2, as of all: perfect.
    # Pixels: class 1 has 40/200 in each, perfect; class 2 has 20/200 and 40/200 where 60/400
    # are expected: off by a third, in one of two classes, in both parts.
    assert (balance.presence, balance.size) == (0, 0)
    assert balance.pixels == pytest.approx(1 / 6)
    assert balance.figure == pytest.approx(1 / 18)


def test_measure_balance__a_part_without_photos():
    contents = make_contents([[10], [10]])
    balance = measure_balance(contents, np.array([0, 0]), (0.5, 0.5))
    assert (balance.presence, balance.pixels, balance.size) == (0.5, 0.5, 1.0)


def test_measure_balance__perfect_is_zero():
    contents = make_contents([[10, 0], [0, 5]] * 4)
    part_of = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    assert measure_balance(contents, part_of, (0.25,) * 4).figure == 0


def test_measure_balance__nothing_labelled():
    contents = make_contents(np.zeros((4, 2), int))
    assert measure_balance(contents, np.array([0, 1, 0, 1]), (0.5, 0.5)).figure == 0


# -- splitting ---------------------------------------------------------------------------------


@st.composite
def problems(draw):
    """Photos with a few classes, groups, and parts that can be made of them."""
    count = draw(st.integers(4, 24))
    rows = draw(
        st.lists(
            st.lists(st.sampled_from([0, 0, 0, 1, 7, 30]), min_size=3, max_size=3),
            min_size=count,
            max_size=count,
        )
    )
    places = st.integers(0, count - 1)
    links = draw(st.lists(st.tuples(places, places), max_size=count // 4))
    groups = join_photos(count, links)
    num_parts = draw(st.integers(2, min(5, len(groups))))
    return make_contents(rows), groups, (1 / num_parts,) * num_parts


@settings(max_examples=25)
@given(problems(), st.integers(0, 3))
def test_split_groups__every_photo_once_groups_whole_no_part_empty(problem, seed):
    contents, groups, shares = problem
    for split in (split_groups, stratify_groups):
        part_of = split(contents, groups, shares, seed)
        assert part_of.shape == (len(contents.areas),)
        for group in groups:
            assert len(set(part_of[list(group)])) == 1
        again = split(contents, groups, shares, seed)
        assert (part_of == again).all()
    part_of = split_groups(contents, groups, shares, seed)
    assert set(part_of) == set(range(len(shares)))
    part_of = split_randomly(groups, shares, seed)
    assert all(len(set(part_of[list(group)])) == 1 for group in groups)


@settings(max_examples=25)
@given(st.data())
def test_split_groups__required_classes_are_everywhere_whenever_that_is_possible(data):
    count = data.draw(st.integers(4, 8))
    rows = data.draw(st.lists(st.tuples(*[st.sampled_from([0, 0, 9])] * 4), min_size=count,
                              max_size=count))  # fmt: skip
    contents, groups = make_contents(rows), join_photos(count, [])
    required = set(find_required(contents, groups, 2))

    def is_complete(part_of):
        return not required & {c for c, _ in find_absent(contents, np.array(part_of), 2)}

    possible = any(
        is_complete(part_of) and len(set(part_of)) == 2 for part_of in product((0, 1), repeat=count)
    )
    assert is_complete(split_groups(contents, groups, (0.5, 0.5), 0)) == possible


def test_find_required__counts_photos_and_groups():
    contents = make_contents([[5, 1, 0], [5, 1, 0], [5, 0, 0], [5, 0, 2]])
    alone = join_photos(4, [])
    assert find_required(contents, alone, 2) == [1, 2]
    assert find_required(contents, alone, 4) == [1]
    # Both photos of class 2 stay together, so it cannot be in two parts.
    assert find_required(contents, join_photos(4, [(0, 1)]), 2) == [1]


def make_street(count=60, seed=0):
    """Return contents like those of the real photos: few classes often, some rarely."""
    rng = np.random.default_rng(seed)
    shows = rng.random((count, 6)) < [0.6, 0.5, 0.3, 0.15, 0.1, 0.05]
    shows[:5, 5] = True
    return make_contents(shows * rng.integers(1, 600, (count, 6)), area=4000)


@pytest.mark.parametrize("parts", [Parts.make_folds(5), Parts.make_sides(0.2)])
def test_split_groups__beats_random_and_plain_stratification(parts):
    contents = make_street()
    groups = join_photos(60, [(0, 1), (7, 9), (9, 30)])
    part_of = split_groups(contents, groups, parts.shares, 0)
    required = set(find_required(contents, groups, len(parts.names)))
    assert required
    assert not required & {c for c, _ in find_absent(contents, part_of, len(parts.names))}
    ours = measure_balance(contents, part_of, parts.shares).figure
    for seed in range(20):
        plain = stratify_groups(contents, groups, parts.shares, seed)
        random = split_randomly(groups, parts.shares, seed)
        assert ours < measure_balance(contents, plain, parts.shares).figure
        assert ours < measure_balance(contents, random, parts.shares).figure


def test_split_groups__sizes_follow_the_shares():
    contents = make_street()
    part_of = split_groups(contents, join_photos(60, []), (0.8, 0.2), 3)
    assert abs(int((part_of == 1).sum()) - 12) <= 1


def test_split_groups__another_seed_gives_another_split():
    contents, groups = make_street(), join_photos(60, [])
    splits = {tuple(split_groups(contents, groups, (0.2,) * 5, seed)) for seed in range(3)}
    assert len(splits) == 3


def test_split_groups__is_the_same_in_another_process():
    program = """
from tests.split.test_folds import make_street, join_photos, split_groups
print(split_groups(make_street(), join_photos(60, [(0, 1)]), (0.2,) * 5, 7).tolist())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    here = split_groups(make_street(), join_photos(60, [(0, 1)]), (0.2,) * 5, 7)
    assert done.stdout.strip() == str(here.tolist())


def test_split_groups__more_parts_than_groups():
    contents = make_contents([[1], [1], [1]])
    with pytest.raises(InputError, match=r"3 parts cannot be made of 3 photo\(s\) that stay toge"):
        split_groups(contents, join_photos(3, [(0, 2)]), (1 / 3,) * 3, 0)
    with pytest.raises(InputError, match=r"4 parts cannot be made of 3 photo\(s\)\."):
        split_groups(contents, join_photos(3, []), (0.25,) * 4, 0)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_split_groups__a_share_that_leaves_a_side_empty(share):
    contents = make_contents([[1]] * 10)
    with pytest.raises(InputError, match="less than half a photo"):
        split_groups(contents, join_photos(10, []), (1 - share, share), 0)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_parts__a_share_is_between_0_and_1(share):
    with pytest.raises(InputError, match="must be above 0 and below 1"):
        Parts.make_sides(share)


def test_split_randomly__fills_parts_evenly():
    part_of = split_randomly(join_photos(20, []), (0.2,) * 5, 1)
    assert np.bincount(part_of).tolist() == [4] * 5


# -- real photos -------------------------------------------------------------------------------


@pytest.mark.photos
def test_split_groups__real_photos_in_five_folds(photos):
    dataset = read_coco(photos / "recycle_trash" / "train_all.json")
    contents = measure_contents(dataset, "largest-first")
    groups, shares = join_photos(165, []), (0.2,) * 5
    part_of = split_groups(contents, groups, shares, 0)
    absent = {dataset.table.names[c] for c, _ in find_absent(contents, part_of, 5)}
    assert absent == {"Battery"}  # in two photos; all others are in every fold
    ours = measure_balance(contents, part_of, shares).figure
    random = [split_randomly(groups, shares, seed) for seed in range(20)]
    assert ours < 0.7 * min(measure_balance(contents, part, shares).figure for part in random)
