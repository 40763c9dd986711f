"""The evaluation page: its figures are the evaluation's, and names on it are letters."""

import json
import re
from html import unescape

import numpy as np
import pytest

from bunri.report.pages.evaluation import shade_cell
from bunri.report.pictures import decode_mask
from bunri.report.records import Epoch
from bunri.scores.confusion import ClassCounts
from bunri.scores.metrics import compute_scores
from tests.report.made import NAMES, make_evaluation, write_page_of
from tests.report.pages.test_stats import (
    BROWSER,
    HOSTILE,
    Reader,
    needs_browser,
    open_in_browser,
    strip_scripts,
)

HISTORY = tuple(
    Epoch.model_validate(
        {
            "epoch": i,
            "train_loss": 2.0 / i,
            "val_loss": 1.5 / i,
            "miou": {"global": 0.1 * i, "per_image": 0.08 * i},
        }
    )
    for i in range(1, 5)
)


@pytest.fixture(scope="module")
def made():
    return make_evaluation(8)


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    result, keeper, _ = made
    return write_page_of(tmp_path_factory.mktemp("page") / "a.html", result, keeper, HISTORY)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    names = ("Background", *HOSTILE[:3])
    files = [f"{i}{name}.jpg" for i, name in enumerate(HOSTILE)]
    result, keeper, _ = make_evaluation(
        len(files), names=names, files=files, model=HOSTILE[1], data=HOSTILE[0]
    )
    path = tmp_path_factory.mktemp("hostile") / "a.html"
    return write_page_of(path, result, keeper, HISTORY)


def read_english(text):
    english = re.sub(r'<bdi lang="ko">.*?</bdi>', "", strip_scripts(text))
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", english)).split())


def read_json(text, name):
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def test_page__head_figures_are_those_of_the_evaluation(page, made):
    sheet = compute_scores(made[0].sizes["photo"].matrices)
    words = read_english(page)
    assert f"global mIoU {sheet.global_miou:.3f} " in words
    assert f"per-image mIoU {sheet.per_image_miou:.3f} " in words
    assert f"pixel accuracy {sheet.overall['pixel_accuracy']:.3f} " in words
    assert f"mean over batches of {sheet.batch_size}" in words
    low, high = (
        getattr(_intervals(made[0]).overall["global_miou"], side) for side in ("low", "high")
    )
    assert f"{low:.3f}–{high:.3f}" in words


def _intervals(result):
    from bunri.scores.intervals import bootstrap_scores

    return bootstrap_scores(result.sizes["photo"].matrices)


def test_page__class_table_sorts_by_the_exact_scores(page, made):
    sheet = compute_scores(made[0].sizes["photo"].matrices)
    table = re.search(r'id="classes">.*?<tbody>(.*?)</tbody>', page, re.S)
    assert table
    for row, one in zip(re.findall(r"<tr>(.*?)</tr>", table[1], re.S), sheet.classes, strict=True):
        values = re.findall(r'data-value="([^"]*)"', row)
        assert [float(value) for value in values[1:5]] == list(one.scores.values())
        assert [int(value) for value in values[6:]] == [one.photos, one.pixels]


def test_page__confusion_cells_say_what_was_counted(page, made):
    total = made[0].sizes["photo"].matrices.sum(0)
    cells = re.findall(r'data-cell="(\d+) (\d+)".*?<bdi lang="en">(.*?)</bdi>', page, re.S)
    assert len(cells) == np.count_nonzero(total)
    for truth, prediction, words in cells:
        count = int(total[int(truth), int(prediction)])
        photos = int((made[0].sizes["photo"].matrices[:, int(truth), int(prediction)] > 0).sum())
        assert f"{count:,} pixels in {photos} photos" in words
        assert NAMES[int(truth)] in words


def test_page__photos_worst_first_with_their_masks(page, made):
    result, _, pairs = made
    scores = ClassCounts.of(result.sizes["photo"].matrices).miou
    order = np.argsort(scores, kind="stable")
    cards = re.findall(r"<figure data-card=.*?</figure>", page, re.S)
    masks = read_json(page, "masks")["photos"]
    assert len(cards) == len(masks) == 8
    for number, (card, mask) in zip(order, zip(cards, masks, strict=True), strict=True):
        assert result.photos[number] in card
        assert f"mean IoU {scores[number]:.3f}" in card
        for key, truth in zip(("truth", "prediction"), pairs[number], strict=True):
            import base64

            found = decode_mask(base64.b64decode(mask[key]), tuple(mask["size"]))
            np.testing.assert_array_equal(found, truth)


def test_page__says_everything_in_both_languages(page):
    reader = Reader(strip_scripts(page))
    assert len(reader.spoken["en"]) == len(reader.spoken["ko"]) > 80
    assert not re.search("[가-힣]", " ".join(reader.spoken["en"]))
    neutral = set(re.findall(r"[^\W\d_]{2,}", " ".join(reader.spoken[None])))
    assert neutral <= {"English", "한국어", "IoU", "batch", "jpg", *NAMES}


def test_page__opens_without_a_network(page):
    markup = strip_scripts(page)
    addresses = re.findall(r"\b(?:src|href|srcset|action)\s*=\s*[\"']?([^\"'\s>]*)", markup)
    assert len(addresses) > 10
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    reader = Reader(markup)
    ids = {attributes.get("id") for _, attributes in reader.tags}
    links = [a["href"] or "" for tag, a in reader.tags if tag == "a"]
    assert len(links) == 6
    assert all(link[1:] in ids for link in links)


def test_page__without_history_has_no_training(made, tmp_path):
    text = write_page_of(tmp_path / "a.html", made[0], made[1])
    assert 'id="training"' not in text
    assert set(read_json(text, "plots")) == {"calibration"}


def test_page__few_photos_and_absent_classes_are_said(tmp_path):
    result, keeper, _ = make_evaluation(1)
    words = read_english(write_page_of(tmp_path / "a.html", result, keeper))
    assert "Fewer than 5 photos" in words
    assert "Not a single pixel in the labels: " in words
    assert "no data" in words


def test_page__of_many_photos_is_bounded_and_says_so(tmp_path):
    result, keeper, _ = make_evaluation(130)
    text = write_page_of(tmp_path / "a.html", result, keeper)
    assert len(text) < 15_000_000
    assert text.count("<figure data-card=") <= 100
    shown = text.count("<figure data-card=")
    assert f"Photos on this page: {shown} of 130, " in read_english(text)


def test_hostile__no_tag_comes_from_a_name(hostile):
    reader = Reader(strip_scripts(hostile))
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert not any(tag in {"svg", "b2"} for tag, _ in reader.tags)
    assert sum(tag == "script" for tag, _ in reader.tags) == 7 + 2
    text = unescape(strip_scripts(hostile))
    for name in HOSTILE[:3]:
        assert name in text
    for steering in ("\u202e", "\u2066", "\x1b", "\u2028"):
        assert steering not in hostile


@pytest.mark.parametrize("name", ["masks", "plots"])
def test_hostile__data_ends_no_script(hostile, name):
    found = re.search(rf'id="{name}">(.*?)</script>', hostile, re.S)
    assert found
    assert not re.search(r"[<>\u2028\u2029]", found[1])
    assert read_json(hostile, name)


def test_page__numbers_on_a_heat_map_are_readable():
    assert shade_cell(0.0) == (
        "background: color-mix(in srgb, var(--heat-1) 0%, var(--heat-0)); color: var(--ink-low)"
    )
    assert "var(--heat-3) 100%, var(--heat-2)" in shade_cell(1.0)
    assert shade_cell(1.0).endswith("var(--ink-high)")


PROBE = """
<script>window.addEventListener("load", () => {
  const say = (name, value) => document.body.setAttribute("data-told-" + name, value);
  const order = () => [...document.querySelectorAll("[data-card]")]
    .filter((card) => !card.hidden).map((card) => card.dataset.card).join(" ");
  document.querySelector('[data-kind="invented"]').click();
  say("invented", order());
  document.querySelector('[data-cell="1 0"]').click();
  say("cell", order());
  document.querySelector("[data-clear]").click();
  say("all", order());
  document.querySelector("[data-enlarge]").click();
  const key = (name) => new KeyboardEvent("keydown", { key: name, bubbles: true });
  document.querySelector("dialog").dispatchEvent(key("ArrowRight"));
  say("large", document.querySelector("[data-stage] .file").textContent);
  const canvas = document.querySelector('[data-show-layer="errors"]');
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let wrong = 0;
  for (let i = 3; i < pixels.length; i += 4) wrong += pixels[i] > 0;
  say("wrong", wrong);
  document.querySelector("#classes [data-sort=number] button").click();
  say("sorted", [...document.querySelectorAll("#classes tbody tr")]
    .map((row) => row.cells[0].dataset.value).join(" "));
});</script></body>"""


@needs_browser
def test_page__in_a_browser(page, made, tmp_path):
    """Filters, a cell, the arrow keys and the sorted table do what they say."""
    assert BROWSER
    result, _, pairs = made
    text = re.sub(r"<meta http-equiv[^\n]*\n", "", page).replace("</body>", PROBE)
    path = tmp_path / "a.html"
    path.write_text(text, "utf-8")
    shown, said = open_in_browser(path, tmp_path / "profile")
    assert "Uncaught" not in said
    told = dict(re.findall(r' data-told-(\w+)="([^"]*)"', shown))
    matrices = result.sizes["photo"].matrices
    order = np.argsort(ClassCounts.of(matrices).miou, kind="stable")
    invented = (matrices[order, 0, 1:].sum(1) / 768).tolist()
    wanted = sorted((i for i in range(8) if invented[i] >= 0.005), key=lambda i: -invented[i])
    assert told["invented"] == " ".join(map(str, wanted))
    of_cell = (matrices[order, 1, 0] / 768).tolist()
    wanted = sorted((i for i in range(8) if of_cell[i] >= 0.005), key=lambda i: -of_cell[i])
    assert told["cell"] == " ".join(map(str, wanted))
    assert told["all"] == "0 1 2 3 4 5 6 7"
    assert told["large"] == result.photos[order[1]]
    truth, prediction = pairs[order[1]]
    assert int(told["wrong"]) == (truth != prediction).sum()
    iou = compute_scores(matrices).classes
    assert told["sorted"] == " ".join(map(str, sorted(range(4), key=lambda i: -iou[i].iou)))
