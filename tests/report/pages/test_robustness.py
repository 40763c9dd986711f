"""Corruptions on the evaluation page: the scores' own figures, and 16 pictures of one photo."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from bunri.corruptions import CORRUPTIONS, NAMES, corrupt
from bunri.images.drawing import draw_overlay_layer
from bunri.report.pages.evaluation import write_evaluation_page
from bunri.report.pages.robustness import TILE_PX, RobustnessSection, Tile
from bunri.report.plots.intervals import Bar, plot_interval_bars
from bunri.report.texts import read_texts
from bunri.scores.results import score_counts
from bunri.scores.robustness import RobustnessCounts, score_robustness
from tests.report.made import make_evaluation, make_table, paint_pair
from tests.report.pages.test_evaluation import read_english, read_json
from tests.report.pages.test_stats import HOSTILE, Reader, strip_scripts


def score(matrices):
    """Return scores where each corruption takes a few more hits than the one before."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    lost = [(hits * (k % 7) / 10).astype(np.int64) for k in range(len(NAMES))]
    predicted = matrices.sum(1)
    counts = RobustnessCounts(
        2,
        NAMES,
        np.array([hits - one for one in lost]),
        np.array([predicted - one for one in lost]),
    )
    return score_robustness(counts, matrices)


def make_tiles(table, size_hw=(24, 32)):
    image = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), np.uint8)
    mask = paint_pair(1, size_hw)[1]
    changed = {"clean": image} | {name: corrupt(image, name) for name in NAMES}
    return [Tile.of(name, one, mask, table) for name, one in changed.items()]


def write(path, num_photos=8, file_name="batch/0001.jpg"):
    result, keeper, _ = make_evaluation(num_photos)
    scores = {size: score_counts(counts) for size, counts in result.sizes.items()}
    robustness = score(result.sizes["photo"].matrices)
    section = RobustnessSection(robustness, file_name, (24, 32), make_tiles(result.table))
    write_evaluation_page(
        path, result, scores, keeper.list_pictures(), keeper.mistakes, (), section
    )
    return path.read_text("utf-8"), robustness


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write(tmp_path_factory.mktemp("page") / "a.html")


def find_section(text):
    found = re.search(r'<section id="robustness">.*?</section>', text, re.S)
    assert found
    return found[0]


def test_section__head_figures_and_table_are_the_scores(made):
    text, scores = made
    words = read_english(find_section(text))
    assert "corruptions of severity 2" in words
    assert f"mean drop {scores.mean.drop.value:.3f} " in words
    t = read_texts("evaluation")
    name = t(f"corruption_{scores.worst.name}").en
    assert f"worst: {name} {scores.worst.drop.value:.3f} " in words
    table = re.search(r"<tbody>(.*?)</tbody>", find_section(text), re.S)
    assert table
    rows = re.findall(r"<tr>(.*?)</tr>", table[1], re.S)
    for row, one in zip(rows, [*scores.ranked, scores.mean], strict=True):
        assert t(f"corruption_{one.name}").en in row
        values = [float(value) for value in re.findall(r'data-value="([^"]*)"', row)[1:]]
        assert values == [
            one.global_miou, one.drop.value, one.per_image_miou, one.per_image_drop.value,
        ]  # fmt: skip
        low, high = one.drop.interval.low, one.drop.interval.high
        assert f"{low:.3f} … {high:.3f}".replace("-", "−") in row


def test_section__plot_has_each_drop_with_its_interval(made):
    text, scores = made
    for language, plot in read_json(text, "plots")["robustness"].items():
        assert plot["layout"]["yaxis"]["ticktext"][0]
        bars: dict[int, tuple[float, ...]] = {}
        for trace in plot["data"]:
            error = trace["error_x"]
            columns = (trace["y"], trace["x"], error["arrayminus"], error["array"])
            bars |= {y: (x, x - less, x + more) for y, x, less, more in zip(*columns, strict=True)}
        assert sorted(bars) == list(range(15)), language
        for y, one in enumerate(scores.ranked):
            wanted = one.drop.value, one.drop.interval.low, one.drop.interval.high
            assert bars[y] == pytest.approx(wanted, abs=1e-4)


def test_section__tiles_are_the_photo_and_its_prediction(made):
    tiles = re.findall(r"<figure>.*?</figure>", find_section(made[0]), re.S)
    assert len(tiles) == 16
    layer = draw_overlay_layer(paint_pair(1, (24, 32))[1], make_table())
    for tile in tiles:
        photo, overlay = re.findall(r'src="data:image/(?:jpeg|png);base64,([^"]*)"', tile)
        assert Image.open(io.BytesIO(base64.b64decode(photo))).size == (32, 24)
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(overlay))))
        np.testing.assert_array_equal(shown, layer)
    assert len({re.findall(r'base64,([^"]*)"', tile)[0] for tile in tiles}) > 10


def test_section__is_in_both_languages(made):
    reader = Reader(strip_scripts(find_section(made[0])))
    assert len(reader.spoken["en"]) == len(reader.spoken["ko"]) > 50
    assert not re.search("[가-힣]", " ".join(reader.spoken["en"]))


def test_section__has_its_place_in_the_page(made):
    assert '<a href="#robustness">' in made[0]
    assert made[0].count('id="robustness"') == 1


def test_section__few_photos_have_no_intervals(tmp_path):
    text, _ = write(tmp_path / "a.html", num_photos=3)
    for plot in read_json(text, "plots")["robustness"].values():
        assert not any(trace["error_x"]["visible"] for trace in plot["data"])
    assert "nan" not in find_section(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_section__names_are_letters(tmp_path, name):
    text, _ = write(tmp_path / "a.html", file_name=name)
    reader = Reader(strip_scripts(text))
    assert not any(key.startswith("on") for _, attributes in reader.tags for key in attributes)
    for steering in ("\u202e", "\u2066", "\x1b", "\u2028"):
        assert steering not in text


def test_tiles__of_pure_noise_stay_small():
    """The page's other parts leave about 900,000 bytes of 15 million."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (512, 512, 3), np.uint8)
    mask = rng.integers(0, 4, (64, 64), np.uint8).repeat(8, 0).repeat(8, 1)
    tile = Tile.of("clean", image, mask, make_table())
    assert 16 * (len(tile.photo) + len(tile.layer)) < 500_000
    picture = Image.open(io.BytesIO(base64.b64decode(tile.photo.split(",")[1])))
    assert picture.size == (TILE_PX, TILE_PX)


def test_wording__every_corruption_and_kind_has_words():
    t = read_texts("common", "evaluation")
    for one in CORRUPTIONS:
        assert t(f"corruption_{one.name}").en
        assert t(f"corrupted_{one.name}").ko
        assert t(f"kind_{one.kind}").ko


def test_plot_interval_bars__no_data_is_no_bar():
    from bunri.scores.intervals import Interval

    nothing = Interval(np.nan, np.nan)
    bars = [Bar("a", "x", 0.25, Interval(0.125, 0.5), ["a"]), Bar("b", "x", np.nan, nothing, ["b"])]
    (trace,) = plot_interval_bars(bars, ["x"], "drop")["data"]
    assert (trace["x"], trace["y"]) == ([0.25], [0])
    assert (trace["error_x"]["array"], trace["error_x"]["arrayminus"]) == ([0.25], [0.125])
