"""The statistics page: whole, bilingual, self-contained, and deaf to what names try to do."""

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import OutputError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.coco import read_coco
from bunri.labels.rules import OverlapRule
from bunri.labels.sources import pair_roots, read_together
from bunri.report.page import show_count, show_share, write_page
from bunri.report.pages.stats import prepare_samples, write_stats_page
from bunri.report.plots import plots
from bunri.report.texts import Texts
from bunri.stats.gallery import choose_photos
from bunri.stats.statistics import collect_statistics, name_sets
from tests.builders import write_data
from tests.coco_data import box, make_annotation, make_document, make_image, write_coco
from tests.report.test_texts import read_rows

RULE: OverlapRule = "largest-first"
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
OWNED = "document.title='owned'"
HOSTILE = (
    f"<img src=x onerror={OWNED}>",
    f"</script><script>{OWNED}</script>",
    f'"><svg onload={OWNED}>',
    f'<b>bold</b><a href="javascript:{OWNED}">%{{x}} link</a> &lt;i&gt; {{{{ 7*7 }}}}',
    "\u202eevil\u2066 \x1b[31m \u2028 line",
)


def write_page_of(folder, *files, opens_photos=True, num_samples=6):
    """Write the page as the command does, and return its text."""
    sets = read_together(pair_roots(files, [], "--images"))
    statistics = [
        collect_statistics(dataset, name, RULE, opens_photos=opens_photos, advance=lambda: None)
        for dataset, name in zip(sets, name_sets(sets), strict=True)
    ]
    choices = choose_photos(statistics, num_samples if opens_photos else 0)
    samples = prepare_samples(choices, RULE, lambda: None)
    path = folder / "stats.html"
    write_stats_page(path, statistics, samples, RULE, "stats.json")
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BUNRI_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def data(folder):
    return write_data(folder / "data", size_hw=(48, 64))


@pytest.fixture(scope="module")
def page(folder, data):
    """The page of train, val and test of the competition's classes."""
    return write_page_of(folder, data.train, data.val, data.test)


@pytest.fixture(scope="module")
def hostile(folder):
    """The page of a data set whose every name is an attack."""
    root = folder / "hostile"
    images, annotations = [], []
    for number, name in enumerate(HOSTILE):
        file_name = f"{number}{name}.png"
        path = root / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30, 3), 40 * number, np.uint8)).save(path)
        images.append(make_image(number, file_name, 20, 30))
        annotations.append(make_annotation(number, number, number, box(2, 2, 9, 9)))
        annotations.append(make_annotation(number + 50, number, 0, box(15, 3, 4, 4)))
    document = make_document(
        images=images,
        annotations=annotations,
        categories=[{"id": number, "name": name} for number, name in enumerate(HOSTILE)],
        licenses=[{"id": 0, "name": name} for name in HOSTILE],
    )
    file = write_coco(root, document, f'"><img src=x onerror={OWNED}>.json')
    return write_page_of(root, file, file)


# -- what is on it -------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects tags, addresses, identities, and text by language."""

    def __init__(self, text):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.spoken: dict[str | None, list[str]] = {"en": [], "ko": [], None: []}
        self.open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "input", "br"}:
            language = dict(attrs).get("lang") if tag != "html" else None
            self.open.append((tag, language or (self.open[-1][1] if self.open else None)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, "tags are nested"

    def handle_data(self, data):
        if data.strip() and self.open and self.open[-1][0] not in {"script", "style", "title"}:
            self.spoken[self.open[-1][1]].append(data.strip())


def strip_scripts(text):
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", text, flags=re.S)


def read_plots(text):
    found = re.search(r'<script type="application/json" id="plots">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def test_page__figures_are_those_of_the_data(page, data):
    english = re.sub(r'<bdi lang="ko">.*?</bdi>', "", strip_scripts(page))
    words = " ".join(unescape(re.sub(r"<[^>]*>", " ", english)).split())
    assert "Counted from train.json, val.json, test.json." in words
    assert " 13 photos" in words
    assert " 20 labelled objects" in words
    assert "test: without labels" in words
    assert "Every photo is 64 × 48 pixels." in words
    present = {shape.class_index for shapes in data.shapes["val"].values() for shape in shapes}
    absent = [name for i, name in enumerate(COMPETITION_TABLE.names) if i and i not in present]
    assert f"val: not a single pixel of {', '.join(absent)}." in words
    for index in present:
        counts = []
        for part in ("train", "val"):
            rows = data.shapes[part].values()
            counts.append(sum(any(s.class_index == index for s in row) for row in rows))
        name = COMPETITION_TABLE.names[index]
        assert re.search(rf"{name} {counts[0]} {counts[1]} \d", words), name


def test_page__every_place_of_a_plot_has_its_plot(page, hostile):
    for text in (page, hostile):
        known = read_plots(text)
        places = re.findall(r'data-plot="([^"]*)"', text)
        assert sorted(places) == sorted(known)
        for versions in known.values():
            assert set(versions) in ({"en", "ko"}, {"any"})


def test_page__opens_without_a_network(page):
    markup = strip_scripts(page)
    addresses = re.findall(
        r"\b(?:src|href|srcset|action|data|poster)\s*=\s*[\"']?([^\"'\s>]*)", markup
    )
    addresses += re.findall(r"url\(([^)]*)\)", markup)
    assert len(addresses) > 10
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert not re.search(r"@import|<link|<iframe|<object|<base", markup)


def test_page__links_lead_to_what_is_there(page):
    reader = Reader(strip_scripts(page))
    ids = {attributes.get("id") for _, attributes in reader.tags}
    links = [a["href"] for tag, a in reader.tags if tag == "a"]
    assert links
    assert all(link and link[1:] in ids for link in links)


def test_page__carries_plotly_once_and_stays_small(page, folder):
    assert page.count("plotly.js v") == 1
    assert len(page) < 6_000_000
    assert "</script" not in plots.read_plot_scripts()[0].lower()


def test_page__policy_names_every_script_and_nothing_else(page):
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert found
    policy = unescape(found[1])
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert policy.count("'sha256-") == len(scripts) == 5
    assert "script-src 'unsafe-inline'" not in policy
    assert "unsafe-eval" not in policy


def test_page__says_nothing_in_one_language_only(page):
    reader = Reader(strip_scripts(page))
    neutral = " ".join(reader.spoken[None])
    for data in (*re.findall(r"batch_01/\w+\.png", page), "train", "val", "test", ".json"):
        neutral = neutral.replace(data, "")
    assert set(re.findall(r"[^\W\d_]{2,}", neutral)) == {"English", "한국어"}
    assert len(reader.spoken["en"]) == len(reader.spoken["ko"]) > 100
    for text in reader.spoken["ko"]:
        words = set(re.findall(r"[A-Za-z]{2,}", text))
        assert words <= {
            "train", "val", "test", "json", "stats", "bunri", "largest", "first", "RGB", "px",
            "JavaScript", "no", "photos",
        }, text  # fmt: skip


def test_plots__say_everything_in_both_languages(page):
    for key, versions in read_plots(page).items():
        if set(versions) == {"any"}:
            assert key.startswith("place-")
            assert list(iterate_shown(versions["any"])) == []
        else:
            english, korean = (list(iterate_shown(versions[lang])) for lang in ("en", "ko"))
            assert len(english) == len(korean) > 5
            assert not re.search("[가-힣]", "".join(english))


def test_plots__korean_ones_hold_no_english(page):
    for versions in read_plots(page).values():
        if "ko" not in versions:
            continue
        for text in iterate_shown(versions["ko"]):
            words = set(re.findall(r"[A-Za-z]{2,}", text.replace("<br>", " ")))
            assert words <= {"train", "val", "test", "px"}, text


def iterate_shown(plot):
    """Yield every text of a plot that a reader may see."""
    for trace in plot["data"]:
        for key in ("name", "text", "hovertext"):
            yield from flatten(trace.get(key))
    for axis in ("xaxis", "yaxis"):
        yield from flatten(plot["layout"][axis].get("ticktext"))
        yield from flatten(plot["layout"][axis].get("title", {}).get("text"))


def flatten(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from flatten(one)


def test_wording__every_text_is_used(folder, monkeypatch):
    """One page of each kind together say everything that there is to say."""
    used = set()
    call = Texts.__call__

    def note(self, key, /, **values):
        used.add(key)
        return call(self, key, **values)

    monkeypatch.setattr(Texts, "__call__", note)
    root = folder / "all"
    root.mkdir()
    images = [make_image(i, f"{i}.png", 10 + i, 12) for i in range(14)]
    names = [f"class {i}" for i in range(20)]
    document = make_document(
        images=images,
        categories=[{"id": i, "name": name} for i, name in enumerate(names)],
        annotations=[
            make_annotation(1, 0, 0, box(1, 1, 4, 4)),
            make_annotation(2, 0, 1, [1, 1, 2, 2]),
        ],
    )
    for row in images:
        Image.new("RGB", (row["width"], row["height"])).save(root / row["file_name"])
    labelled = write_coco(root, document, "labelled.json")
    del document["annotations"]
    write_page_of(root, labelled, write_coco(root, document, "bare.json"))
    write_page_of(root, labelled, opens_photos=False)
    one_size = write_data(root / "one", counts=(1, 1, 1), size_hw=(32, 32))
    write_page_of(root, one_size.train)
    assert set(read_rows("stats")) - used == set()


# -- kinds of data -------------------------------------------------------------------------


def test_page__without_photos(folder):
    data = write_data(folder / "labels only", size_hw=(32, 48))
    shutil.rmtree(data.folder / "batch_01")
    text = write_page_of(data.folder, data.train, opens_photos=False)
    assert "Photos were not opened (--no-photos)" in text
    assert "<figure" not in text
    assert "<dialog" not in text
    assert not any(key.startswith("colors") for key in read_plots(text))


def test_page__without_labels(folder):
    data = write_data(folder / "no labels", size_hw=(32, 48))
    text = write_page_of(data.folder, data.test)
    assert set(read_plots(text)) == {"colors-0"}
    assert text.count("<figure") == 3
    assert 'class="layer"' not in text
    assert "data-overlay>" not in strip_scripts(text)
    reader = Reader(strip_scripts(text))
    links = [a["href"] for tag, a in reader.tags if tag == "a"]
    assert links == ["#colors", "#gallery", "#terms"]


def test_page__gallery_says_what_each_photo_shows(page, folder):
    dataset = read_coco(folder / "data" / "train.json")
    for found in re.findall(r'<figure data-card data-classes="([\d ]*)">.*?</figure>', page, re.S):
        assert 0 not in map(int, found.split())
    cards = re.findall(r"<figure data-card.*?</figure>", page, re.S)
    assert len(cards) == 6
    assert sum('class="layer"' in card for card in cards) == 5  # the last one is of test
    assert all(card.count("data:image/jpeg;base64,") == 1 for card in cards)
    assert len(dataset.photos) == 6


def test_page__many_samples_are_smaller(folder):
    root = folder / "many"
    root.mkdir()
    rng = np.random.default_rng(1)
    images = [make_image(i, f"{i}.jpg", 400, 600) for i in range(2)]
    for row in images:
        Image.fromarray(rng.integers(0, 256, (400, 600, 3), np.uint8)).save(root / row["file_name"])
    file = write_coco(root, make_document(images=images, annotations=[]))
    figures = collect_statistics(
        read_coco(file), "x", RULE, opens_photos=True, advance=lambda: None
    )
    few = prepare_samples([(figures, 0)], RULE, lambda: None)
    many = prepare_samples([(figures, i % 2) for i in range(96)], RULE, lambda: None)
    assert few[0].size_hw == (341, 512)
    assert many[0].size_hw == (171, 256)
    assert sum(len(sample.photo) for sample in many) < 24 * len(few[0].photo) * 2.2


def test_page__that_cannot_be_written(folder, monkeypatch):
    (folder / "file").write_text("")
    with pytest.raises(OutputError, match="a file is where a folder is needed"):
        write_page(folder / "file" / "x.html", "base.html", {})


# -- hostile names -------------------------------------------------------------------------


def test_hostile__no_tag_comes_from_a_name(hostile):
    markup = strip_scripts(hostile)
    reader = Reader(markup)
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    sources = [a.get("src") or "" for tag, a in reader.tags if tag == "img"]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert not any(tag in {"svg", "bold"} for tag, _ in reader.tags)
    links = [a["href"] or "" for tag, a in reader.tags if tag == "a"]
    assert all(link.startswith("#") for link in links)
    assert sum(tag == "script" for tag, _ in reader.tags) == 6  # five to run, one of data


def test_hostile__names_are_shown_as_they_are(hostile):
    text = unescape(strip_scripts(hostile))
    for name in HOSTILE[:4]:
        assert name in text
    assert "�evil� �[31m � line" in text
    for steering in ("\u202e", "\u2066", "\x1b", "\u2028"):
        assert steering not in hostile


def test_hostile__data_of_plots_ends_no_script(hostile):
    found = re.search(r'id="plots">(.*?)</script>', hostile, re.S)
    assert found
    assert not re.search(r"[<>\u2028\u2029]", found[1])
    shown = [
        text
        for versions in read_plots(hostile).values()
        for plot in versions.values()
        for text in iterate_shown(plot)
    ]
    assert len(shown) > 100
    # plotly reads <b>, <a href> and entities in labels; only our own line breaks are tags.
    for text in shown:
        assert "<" not in text.replace("<br>", "")
    assert any("&lt;b&gt;bold&lt;/b&gt;" in text for text in shown)
    assert any("&amp;lt;i&amp;gt;" in text for text in shown)


def open_in_browser(path, profile):
    """Return the page as the browser has it after its scripts ran, and what the browser said."""
    assert BROWSER
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--enable-logging=stderr", f"--user-data-dir={profile}",
            "--window-size=1000,9000", "--virtual-time-budget=3000", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return done.stdout, done.stderr


needs_browser = pytest.mark.skipif(not BROWSER, reason="there is no Chromium on the path")


@needs_browser
@pytest.mark.parametrize("has_policy", [True, False])
def test_hostile__in_a_browser_nothing_of_it_runs(hostile, tmp_path, has_policy):
    if not has_policy:  # escaping must hold by itself
        hostile, count = re.subn(r"<meta http-equiv[^\n]*\n", "", hostile)
        assert count == 1
    path = tmp_path / "hostile.html"
    path.write_text(hostile, "utf-8")
    shown, said = open_in_browser(path, tmp_path / "profile")
    title = re.search(r"<title>(.*?)</title>", shown, re.S)
    assert title
    assert title[1].endswith("· bunri")
    assert "Refused to" not in said
    assert "violates" not in said
    # The page's own scripts did run: plots are drawn, and their labels are letters.
    assert shown.count('class="main-svg"') >= 10
    drawn = re.sub(r"<script.*?</script>", "", shown, flags=re.S)
    assert "&lt;b&gt;bold&lt;/b&gt;" in drawn
    assert not re.search(r"<a[^>]*javascript:", drawn)
    assert not re.search(r"<[^>]*\sonerror=", drawn)


@needs_browser
def test_page__in_a_browser_draws_its_plots(page, tmp_path):
    path = tmp_path / "stats.html"
    path.write_text(page, "utf-8")
    shown, said = open_in_browser(path, tmp_path / "profile")
    assert "Refused to" not in said
    assert "Uncaught" not in said
    drawn = set(re.findall(r'data-plot="([^"]*)" style="[^"]*"[^>]*data-look="en ', shown))
    assert {"photo", "areas", "together-0", "colors-0"} <= drawn
    assert "var(--ink" not in re.sub(r"<(style|script).*?</\1>", "", shown, flags=re.S)


# -- numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0, None, "0%"),
        (0.5, None, "50.0%"),
        (0.0123, None, "1.2%"),
        (0.0012, None, "0.12%"),
        (0.00001, None, "<0.01%"),
        (0.00001, 2, "<0.01%"),
        (0.00006, 2, "0.01%"),
        (0.12345, 2, "12.35%"),
        (0, 2, "0.00%"),
        (1, None, "100.0%"),
    ],
)
def test_show_share(value, decimals, shown):
    assert show_share(value, decimals) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (6.35, "6.3"), (12.0, "12"), (1234567, "1,234,567"), (150.6, "151")],
)
def test_show_count(value, shown):
    assert show_count(value) == shown
