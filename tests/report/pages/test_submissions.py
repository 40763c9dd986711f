"""The page of two submissions: what is counted, what is shown, and how large it may become."""

import re

import numpy as np
import pytest

from bunri.core.errors import SubmissionError
from bunri.report.pages import submissions as submissions_page
from bunri.submission.difference import compare_submissions
from bunri.submission.stream import write_submission
from tests.builders import write_data
from tests.cli.runner import run


def fill(count, value):
    mask = np.zeros((256, 256), np.uint8)
    mask.ravel()[:count] = value
    return mask


@pytest.fixture
def pair(tmp_path):
    """Photo 1 differs in 10 pixels, 2 in 30, 3 in none, 4 in 10."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    write_submission(first, [(str(n), fill(100, 3)) for n in (1, 2, 3, 4)])
    rows = [("4", fill(90, 3)), ("3", fill(100, 3)), ("2", fill(130, 3)), ("1", fill(110, 3))]
    write_submission(second, rows)
    return first, second


def test_compare__counts_by_hand(pair):
    found = compare_submissions(pair[0], pair[1], 12, 100)
    assert (found.num_photos, found.num_equal) == (4, 1)
    assert [(p.image_id, p.num_different) for p in found.photos] == [
        ("2", 30),
        ("1", 10),
        ("4", 10),
    ]
    assert found.matrix.sum() == 4 * 65536
    assert (found.matrix[3, 3], found.matrix[0, 3], found.matrix[3, 0]) == (390, 40, 10)
    first, second = found.photos[0].unpack_masks()
    assert (first == fill(100, 3)).all()
    assert (second == fill(130, 3)).all()
    assert found.photos[0].share == 30 / 65536


def test_compare__keeps_the_photos_that_differ_most(pair):
    for count in (1, 2):
        found = compare_submissions(pair[0], pair[1], 12, count)
        assert [p.image_id for p in found.photos] == ["2", "1"][:count]
        assert found.num_equal == 1


def test_compare__different_photos_are_refused(pair, tmp_path):
    write_submission(tmp_path / "c.csv", [("1", fill(0, 0)), ("9", fill(0, 0))])
    with pytest.raises(SubmissionError, match="same photos"):
        compare_submissions(pair[0], tmp_path / "c.csv", 12, 9)


def test_view__shows_figures_and_pictures(pair, tmp_path):
    path = tmp_path / "page.html"
    ended = run("view", *pair, "--out", path)
    assert ended.code == 0, ended.err
    assert f"{path}: 3 of 4 photos differ, 3 shown" in ended.out
    page = path.read_text("utf-8")
    assert page.count('class="card photo"') == 3
    assert page.count("data:image/png") == 9
    assert "data:image/jpeg" not in page
    assert "99.98%" in page or "100.0%" in page
    assert "IoU" in page
    assert "두 제출 파일의 차이" in page
    assert not re.search(r'(src|href)="http', page)


def test_view__with_photos(tmp_path):
    data = write_data(tmp_path / "data")
    names = list(data.shapes["test"])
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    write_submission(first, [(name, fill(9, 1)) for name in names])
    write_submission(second, [(name, fill(9, 2)) for name in names])
    (data.folder / names[1]).write_bytes(b"no photo any more")
    path = tmp_path / "page.html"
    ended = run("view", first, second, data.test, "--out", path, "--max-photos", 2)
    assert ended.code == 0, ended.err
    assert "3 of 3 photos differ, 2 shown" in ended.out
    page = path.read_text("utf-8")
    assert page.count("data:image/jpeg") == 1
    assert page.count("data:image/png") == 6


def test_view__equal_files(pair, tmp_path):
    path = tmp_path / "page.html"
    assert run("view", pair[0], pair[0], "--out", path).code == 0
    assert 'class="card photo"' not in path.read_text("utf-8")


def test_view__names_are_escaped(tmp_path):
    hostile = "</span><script>alert(1)</script>\u202e.jpg"
    paths = [tmp_path / "<b>.csv", tmp_path / "b.csv"]
    for value, path in enumerate(paths):
        write_submission(path, [(hostile, fill(5, value))])
    page = tmp_path / "page.html"
    assert run("view", *paths, "--out", page).code == 0
    text = page.read_text("utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\u202e" not in text
    assert "&lt;b&gt;.csv" in text


def test_view__pictures_have_bounded_size(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        noise = rng.integers(0, 12, (256, 256), np.uint8)
        write_submission(path, [(str(number), noise) for number in range(8)])
    monkeypatch.setattr(submissions_page, "MAX_PICTURE_BYTES", 500_000)
    page = tmp_path / "page.html"
    ended = run("view", *paths, "--out", page)
    (shown,) = map(int, re.findall(r"(\d+) shown", ended.out))
    assert 1 <= shown < 8
    assert page.stat().st_size < 600_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.csv", "a.csv"), "Cannot open"),
        (("a.csv", "a.csv", "none.json"), "does not exist"),
        (("a.csv", "a.csv", "--images", "x"), "there is none"),
        (("a.csv", "broken.csv"), "header"),
        (("a.csv", "b.csv.gz", "--out", "folder"), "a folder has this name"),
    ],
)
def test_view__bad_input(pair, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.csv").write_bytes(b"\xff")
    ended = run("view", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert not (tmp_path / "submissions.html").exists()
