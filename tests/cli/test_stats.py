"""``bunri stats``: the real command line on data whose figures are known."""

import json
import os
import re
import shutil

import pytest
from PIL import Image

from tests.builders import CATEGORY_IDS, change_document, write_data
from tests.cli.runner import run

PAPER = 3


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data", size_hw=(48, 64))


@pytest.fixture
def page(tmp_path):
    return tmp_path / "out" / "stats.html"


def count_photos(data, part, index):
    rows = data.shapes[part].values()
    return sum(any(shape.class_index == index for shape in row) for row in rows)


def assert_refused(ended, page, *parts):
    """Check exit code and message, and that nothing was written."""
    assert ended.code == 2, (ended.out, ended.err)
    text = " ".join(ended.err.replace("│", " ").split())
    for part in parts:
        assert str(part) in text
    assert "Traceback" not in ended.err
    assert not page.parent.exists()


# -- what it does --------------------------------------------------------------------------


def test_stats__page_figures_and_a_row_for_each_class(data, page):
    ended = run("stats", data.train, data.val, data.test, "--out", page)
    assert ended.code == 0, ended.err
    assert sorted(path.name for path in page.parent.iterdir()) == ["stats.html", "stats.json"]
    figures = json.loads((page.parent / "stats.json").read_text("utf-8"))
    assert [row["name"] for row in figures["sets"]] == ["train", "val", "test"]
    for part in ("train", "val"):
        row = figures["sets"][("train", "val").index(part)]
        assert row["num_photos"] == len(data.shapes[part])
        paper = row["labels"]["classes"][PAPER]
        assert paper["photos"] == count_photos(data, part, PAPER)
        assert re.search(rf"^Paper +{paper['photos']} +{paper['objects']} ", ended.out, re.M)
    assert figures["sets"][2]["labels"] is None
    assert "train: 6 photos; 64x48 (6)" in ended.out
    assert "test: 3 photos; 64x48 (3)" in ended.out
    assert "no labels" in ended.out
    assert f"Page: {page}   Figures: {page.parent}/stats.json" in ended.out
    assert page.read_text("utf-8").count("<figure data-card") == 13


def test_stats__json_is_what_is_written_beside_the_page(data, page):
    ended = run("stats", data.val, "--out", page, "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == json.loads((page.parent / "stats.json").read_text("utf-8"))


def test_stats__json_of_another_page_does_not_take_a_name_that_labels_may_have(data):
    page = data.folder / "train.html"
    before = data.train.read_bytes()
    assert run("stats", data.train, "--out", page).code == 0
    assert data.train.read_bytes() == before
    assert (data.folder / "train-stats.json").is_file()


def test_stats__the_same_twice(data, page):
    texts = []
    for _ in range(2):
        assert run("stats", data.train, data.test, "--out", page).code == 0
        texts.append(page.read_bytes() + (page.parent / "stats.json").read_bytes())
    assert texts[0] == texts[1]


def test_stats__photos_elsewhere(data, page, tmp_path):
    shutil.move(data.folder / "batch_01", tmp_path / "photos" / "batch_01")
    ended = run(
        "stats", data.train, data.val, "--out", page,
        "--images", tmp_path / "photos", "--images", tmp_path / "photos",
    )  # fmt: skip
    assert ended.code == 0, ended.err


def test_stats__labels_alone_need_no_photo(data, page):
    shutil.rmtree(data.folder / "batch_01")
    ended = run("stats", data.train, "--out", page, "--no-photos")
    assert ended.code == 0, ended.err
    figures = json.loads((page.parent / "stats.json").read_text("utf-8"))
    assert figures["sets"][0]["color"] is None
    assert figures["sets"][0]["labels"]["classes"][PAPER]["photos"] == count_photos(
        data, "train", PAPER
    )
    assert "color" not in ended.out


def test_stats__samples(data, page):
    assert run("stats", data.train, "--out", page, "--samples", "2").code == 0
    assert page.read_text("utf-8").count("<figure data-card") == 2
    assert run("stats", data.train, "--out", page, "--samples", "0").code == 0
    assert "<figure" not in page.read_text("utf-8")


def test_stats__the_overlap_rule_is_the_one_asked_for(data, page):
    ended = run("stats", data.train, "--out", page, "--overlap-rule", "highest-class", "--json")
    assert json.loads(ended.out)["overlap_rule"] == "highest-class"
    assert "highest-class" in page.read_text("utf-8")


def test_stats__names_are_letters_on_the_terminal(data, page):
    def rename(document):
        document["categories"][0]["name"] = "[red]\x1b[31mPaper[/red]"

    change_document(data.train, rename)
    ended = run("stats", data.train, "--out", page)
    assert ended.code == 0
    assert "[red]�[31mPaper[/red]" in ended.out
    assert "\x1b" not in ended.out + ended.err


# -- what it refuses -----------------------------------------------------------------------


def test_stats__missing_photos_are_listed(data, page):
    names = list(data.shapes["train"])[:2]
    for name in names:
        (data.folder / name).unlink()
    ended = run("stats", data.train, "--out", page)
    assert_refused(ended, page, "2 of 6 photos", *names, "--images")


def test_stats__photos_that_cannot_be_used_are_listed(data, page):
    cut, small = (data.folder / name for name in list(data.shapes["train"])[:2])
    cut.write_bytes(cut.read_bytes()[:70])
    Image.new("RGB", (9, 8)).save(small)
    ended = run("stats", data.train, data.val, "--out", page)
    assert_refused(
        ended,
        page,
        "2 photo(s)",
        cut.name,
        "damaged or truncated",
        small.name,
        "9x8",
        "--no-photos",
    )


@pytest.mark.parametrize("option", [(), ("--no-photos",)])
def test_stats__no_photos_in_the_file(data, page, option):
    change_document(data.train, lambda document: document.update(images=[], annotations=[]))
    ended = run("stats", data.val, data.train, "--out", page, *option)
    assert_refused(ended, page, data.train, "its list 'images' is empty")


def test_stats__other_classes(data, page):
    change_document(data.val, lambda document: document["categories"][0].update(name="Rubber"))
    ended = run("stats", data.train, data.val, "--out", page)
    assert_refused(
        ended, page, f"{data.val} does not fit the class table of {data.train}", "'Rubber'"
    )


def test_stats__fewer_classes_are_compared_by_name(data, page):
    kept = {CATEGORY_IDS[index] for index in (1, 3, 5, 7)}

    def drop(document):
        document["categories"] = [c for c in document["categories"] if c["id"] in kept]

    change_document(data.val, drop)
    ended = run("stats", data.train, data.val, "--out", page)
    assert ended.code == 0, ended.err
    figures = json.loads((page.parent / "stats.json").read_text("utf-8"))
    paper = figures["sets"][1]["labels"]["classes"][PAPER]
    assert (paper["name"], paper["photos"]) == ("Paper", count_photos(data, "val", PAPER))


def test_stats__images_of_one_file_only(data, page):
    ended = run("stats", data.train, data.val, "--out", page, "--images", data.folder)
    assert_refused(ended, page, "--images was given 1 time(s) for 2 annotation file(s)")


def test_stats__not_coco(data, page):
    data.train.write_text("[]")
    assert_refused(run("stats", data.train, "--out", page), page, "is not a COCO file")


def test_stats__unknown_rule(data, page):
    ended = run("stats", data.train, "--out", page, "--overlap-rule", "largest")
    assert_refused(ended, page, "'largest' is not one of", "largest-first")


@pytest.mark.parametrize("count", ["-1", "301", "many"])
def test_stats__samples_out_of_range(data, page, count):
    ended = run("stats", data.train, "--out", page, "--samples", count)
    assert_refused(ended, page, "Invalid value for '--samples'")


@pytest.mark.parametrize("name", ["stats", "stats.json", "stats.htm.txt"])
def test_stats__out_that_is_no_page(data, tmp_path, name):
    ended = run("stats", data.train, "--out", tmp_path / "out" / name)
    assert_refused(ended, tmp_path / "out" / name, "--out must end in .html")


@pytest.mark.parametrize(("source", "out"), [("stats.json", "stats.html"), ("x.html", "x.html")])
def test_stats__out_that_would_replace_the_data(data, source, out):
    path = data.train.rename(data.folder / source)
    before = path.read_bytes()
    ended = run("stats", path, "--out", data.folder / out)
    assert ended.code == 2
    assert f"would replace the file {path}" in ended.err
    assert path.read_bytes() == before


def test_stats__out_that_is_a_folder(data, tmp_path):
    (tmp_path / "a.html").mkdir()
    ended = run("stats", data.train, "--out", tmp_path / "a.html")
    assert ended.code == 2
    assert "a folder has this name" in ended.err
    assert "Counting" not in ended.err  # said before the work, not after


def test_stats__out_below_a_file(data, tmp_path):
    ended = run("stats", data.train, "--out", data.train / "a.html")
    assert ended.code == 2
    assert "a file is where a folder is needed" in ended.err
    assert "Counting" not in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_stats__out_in_a_folder_that_is_locked(data, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    ended = run("stats", data.train, "--out", tmp_path / "locked" / "a.html")
    assert ended.code == 2
    assert "no permission" in ended.err


def test_stats__disk_full(data, page, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    ended = run("stats", data.train, "--out", page)
    assert ended.code == 2
    assert "the disk is full" in ended.err
    assert list(page.parent.iterdir()) == []
