"""Votes of submissions: counted as by hand, ties by priority, photos matched by id."""

import gzip
import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.core.errors import InputError, SubmissionError
from bunri.submission.align import align_submissions
from bunri.submission.format import HEADER
from bunri.submission.stream import read_submission, write_submission
from bunri.submission.vote import (
    complete_priority,
    parse_priority,
    parse_weights,
    vote_masks,
    vote_submissions,
)
from tests.cli.runner import run

ALL = tuple(range(12))


def fill(*values):
    """A mask whose first pixels are ``values``, the rest 0."""
    mask = np.zeros((256, 256), np.uint8)
    mask.ravel()[: len(values)] = values
    return mask


def write(path, rows):
    write_submission(path, list(rows.items()))
    return path


@pytest.fixture
def files(tmp_path):
    return [
        write(tmp_path / "a.csv", {"1.jpg": fill(1, 1, 1), "2.jpg": fill(5)}),
        write(tmp_path / "b.csv.gz", {"2.jpg": fill(5), "1.jpg": fill(2, 1, 3)}),
        write(tmp_path / "c.csv", {"1.jpg": fill(2, 2, 7), "2.jpg": fill(6)}),
    ]


# -- counting


def test_vote__by_hand(files):
    rows = dict(vote_submissions(files, (1, 1, 1), (7, *(i for i in ALL if i != 7))))
    assert list(rows) == ["1.jpg", "2.jpg"]
    assert rows["1.jpg"].ravel()[:4].tolist() == [2, 1, 7, 0]
    assert rows["2.jpg"].ravel()[:2].tolist() == [5, 0]


def test_vote__weights_decide(files):
    rows = dict(vote_submissions(files, (3, 1, 1), ALL[::-1]))
    assert rows["1.jpg"].ravel()[:3].tolist() == [1, 1, 1]
    rows = dict(vote_submissions(files, (0, 0, 1), ALL))
    assert rows["1.jpg"].ravel()[:3].tolist() == [2, 2, 7]


def vote_plainly(masks, weights, priority):
    """Pixel by pixel, as one would by hand."""
    winners = np.zeros((256, 256), np.uint8)
    for place in np.ndindex(winners.shape):
        votes: Counter[int] = Counter()
        for mask, weight in zip(masks, weights, strict=True):
            votes[int(mask[place])] += weight
        most = max(votes.values())
        winners[place] = next(c for c in priority if votes[c] == most and votes[c] > 0)
    return winners


@given(
    seed=st.integers(0, 2**32),
    weights=st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any),
    priority=st.permutations(range(4)),
)
@settings(max_examples=8)
def test_vote__equals_a_count_by_hand(seed, weights, priority):
    rng = np.random.default_rng(seed)
    masks = [rng.integers(0, 4, (256, 256), np.uint8) for _ in weights]
    expected = vote_plainly(masks, weights, priority)
    voted = vote_masks(masks, weights, priority)
    assert voted.dtype == np.uint8
    assert (voted == expected).all()


def test_vote__leaves_its_input_alone():
    masks = [fill(1), fill(2), fill(2)]
    assert vote_masks(masks, (1, 1, 1), ALL)[0, 0] == 2
    assert [mask[0, 0] for mask in masks] == [1, 2, 2]


def test_vote__large_weights_do_not_overflow():
    masks = [fill(1), fill(2), fill(2)]
    assert vote_masks(masks, (511, 255, 255), ALL[::-1])[0, 0] == 1
    assert vote_masks(masks, (2**39 + 1, 2**38, 2**38), ALL[::-1])[0, 0] == 1
    assert vote_masks(masks, (510, 255, 255), ALL[::-1])[0, 0] == 2


def test_vote__up_to_255_classes():
    masks = [fill(254, 3), fill(7, 254), fill(254, 3)]
    assert vote_masks(masks, (1, 1, 1), tuple(range(255))).ravel()[:2].tolist() == [254, 3]


# -- weights and priority


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("", (1, 1, 1)),
        ("2,1,0.5", (4, 2, 1)),
        (" 0.1, 0.2 ,0.3", (1, 2, 3)),
        ("0,0,7", (0, 0, 7)),
        (".5,1.50,2", (1, 3, 4)),
    ],
)
def test_weights__are_whole_numbers_in_proportion(text, weights):
    parsed = parse_weights(text, 3)
    assert [Fraction(w, sum(parsed)) for w in parsed] == [
        Fraction(w, sum(weights)) for w in weights
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,1", "2 weights for 3 files"),
        ("0,0,0", "sum to 0"),
        ("1,-1,1", "'-1' is no decimal number of at least 0"),
        ("1,x,", "'x' is no decimal number of at least 0\n  - '' is no decimal"),
        ("1,nan,1", "'nan' is no decimal"),
        ("1,1/0,1", "'1/0' is no decimal"),
        ("1,1e999999999,1", "'1e999999999' is no decimal"),
        ("1,\u0661,1", "is no decimal"),
        ("1,0.000000000001,1", "too many digits"),
    ],
)
def test_weights__that_are_none(text, words):
    with pytest.raises(InputError) as caught:
        parse_weights(text, 3)
    assert words in str(caught.value)


def test_priority__names_and_indices():
    assert parse_priority("", 12) == ()
    assert parse_priority("battery, 6 ,Plastic bag", 12) == (10, 6, 9)
    assert parse_priority("3,0", 4) == (3, 0)


@pytest.mark.parametrize(
    ("text", "num_classes", "words"),
    [
        ("Batery", 12, "Did you mean 'Battery'"),
        ("12", 12, "There is no class 12; they are 0 to 11"),
        ("Battery,10", 12, "'10' comes twice"),
        ("Battery", 5, "is no index"),
        (",", 12, "There is no class ''"),
    ],
)
def test_priority__of_classes_that_are_none(text, num_classes, words):
    with pytest.raises(InputError) as caught:
        parse_priority(text, num_classes)
    assert words in str(caught.value)


def test_priority__the_rarest_come_first(files):
    # In the first file 1 has three pixels and 5 one; the others have none, and 0 the most.
    order = complete_priority((), files[0], 12)
    assert order == (11, 10, 9, 8, 7, 6, 4, 3, 2, 5, 1, 0)
    assert complete_priority((0, 5), files[0], 12)[:3] == (0, 5, 11)
    assert complete_priority(ALL, files[0], 12) == ALL


# -- matching


def test_align__any_order_and_packed(files):
    rows = list(align_submissions(files))
    assert [image_id for image_id, _ in rows] == ["1.jpg", "2.jpg"]
    assert [mask[0, 0] for mask in rows[0][1]] == [1, 2, 2]
    assert [mask[0, 0] for mask in rows[1][1]] == [5, 5, 6]


def test_align__every_order_gives_the_same(tmp_path):
    names = [f"{number}.jpg" for number in range(6)]
    paths = []
    for seed in range(3):
        random.Random(seed).shuffle(names)
        rows = {name: fill(int(name[0]), seed) for name in names}
        paths.append(write(tmp_path / f"{seed}.csv", rows))
    for image_id, masks in align_submissions(paths):
        assert [mask[0, 0] for mask in masks] == [int(image_id[0])] * 3
        assert [mask[0, 1] for mask in masks] == [0, 1, 2]


def test_align__different_photos_are_listed(tmp_path):
    first = write(tmp_path / "a.csv", {"1": fill(), "2": fill(), "3": fill()})
    second = write(tmp_path / "b.csv", {"4": fill(), "2": fill(), "5": fill()})
    with pytest.raises(SubmissionError) as caught:
        list(align_submissions([first, second]))
    assert caught.value.problems == (
        f"'1' is in {first}, not in {second}",
        f"'3' is in {first}, not in {second}",
        f"'4' is in {second}, not in {first}",
        f"'5' is in {second}, not in {first}",
    )


# -- the command


def test_cli__votes_plain_and_packed_the_same(files, tmp_path):
    plain, packed = tmp_path / "voted.csv", tmp_path / "voted.csv.gz"
    for path in (plain, packed):
        ended = run("vote", *files, "--priority", "Plastic", "--out", path)
        assert ended.code == 0, ended.err
        assert f"{path}: 2 rows" in ended.out
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.read_bytes()[4:8] == b"\0" * 4, "no time in it"
    rows = dict(read_submission(plain))
    assert rows["1.jpg"].ravel()[:3].tolist() == [2, 1, 7]
    values = " ".join(["2", "1", "7", *["0"] * 65533])
    assert plain.read_text().startswith(f"{HEADER}\n1.jpg,{values}\n2.jpg,5 0 ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a.csv",), "at least two"),
        (("a.csv", "none.csv"), "Cannot open"),
        (("a.csv", "other.csv"), "not about the same photos"),
        (("a.csv", "broken.csv"), "row 1, PredictionString"),
        (("a.csv", "c.csv", "--weights", "0,0"), "sum to 0"),
        (("a.csv", "c.csv", "--priority", "Gold"), "There is no class 'Gold'"),
        (("a.csv", "c.csv", "--num-classes", "3"), "out of range"),
        (("a.csv", "cut.csv.gz"), "gzip data end early"),
    ],
)
def test_cli__bad_input_leaves_the_old_file(files, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "other.csv", {"1.jpg": fill(), "3.jpg": fill()})
    (tmp_path / "broken.csv").write_text(f"{HEADER}\n1.jpg,0 0\n")
    (tmp_path / "cut.csv.gz").write_bytes(files[1].read_bytes()[:-40])
    (tmp_path / "voted.csv").write_text("old")
    ended = run("vote", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert (tmp_path / "voted.csv").read_text() == "old"
    assert not list(tmp_path.glob(".partial*"))
