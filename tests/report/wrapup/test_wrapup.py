"""The wrap-up: every section from the records, as a page, as Markdown and as PDF."""

import json
import re

import pytest
import yaml

from bunri.core.files import hash_file
from bunri.report.records import read_records
from bunri.report.texts import read_texts
from bunri.report.wrapup import files as wrapup_files
from bunri.report.wrapup.documents import Code, Grid, Paragraph, Section, plain, write_markdown
from bunri.report.wrapup.files import write_wrapup
from bunri.scores.comparison import line_up_results
from tests.report.pages.test_evaluation import read_english
from tests.report.pages.test_experiments import write_run
from tests.report.pages.test_stats import HOSTILE, Reader, needs_browser, strip_scripts

SECTIONS = ["Goal", "Data and split", "Experiments", "What helped", "What did not", "Ensemble",
            "Error analysis", "Lessons", "How to reproduce"]  # fmt: skip


@pytest.fixture
def no_browser(monkeypatch):
    monkeypatch.setattr(wrapup_files, "find_browser", lambda: None)


def write_data_json(run, path):
    row = {"annotations": str(path), "images": str(path.parent), "sha256": hash_file(path)}
    (run / "data.json").write_text(json.dumps({"train": [row], "val": [row]}))


def write_wrapup_of(folder, *runs, diagnose=lambda file: []):
    records = read_records([str(run) for run in runs])
    comparison = line_up_results({record.name: record.result for record in records})
    why_not = write_wrapup(folder, records, comparison, diagnose)
    return (folder / "wrap-up.html").read_text("utf-8"), why_not


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "train.json").write_text("{}")
    first = write_run(tmp_path / "first")
    twin = write_run(tmp_path / "twin", config={"seed": 2, "optim": {"lr": 0.001}})
    other = write_run(tmp_path / "other", config={"seed": 3, "optim": {"lr": 0.02}})
    for run in (first, twin, other):
        write_data_json(run, tmp_path / "train.json")
    return first, twin, other


def test_wrapup__every_section_from_the_records(runs, tmp_path, no_browser):
    text, why_not = write_wrapup_of(tmp_path / "out", *runs)
    assert why_not == "there is no Chromium or Chrome on the path"
    words = read_english(text)
    places = [words.index(f"{i}. {title} ") for i, title in enumerate(SECTIONS, start=1)]
    assert places == sorted(places)
    assert "Best run: first, global mIoU" in words
    assert "No run is significantly better than first." in words
    assert "No evidence: other (optim.lr: 0.001 → 0.02; seed: 1 → 3), +0.000" in words
    assert "None of the runs is an ensemble" in words
    assert "twin differs from first only in its seed" in words
    assert "other: 2 settings were changed at once" in words
    assert "first was best in its last epoch (3)" in words
    assert "the validation loss was lowest in epoch 2 of 3 and 100.0% higher at the end" in words
    assert "diverged" not in words
    assert "epochs were trained" not in words
    assert "Seeds: first 1, twin 2, other 3." in words
    assert words.count(": mean IoU 0.") == 5
    assert "bunri train --recipe recipes/run_3.yaml" in words


def test_wrapup__files(runs, tmp_path, no_browser):
    folder = tmp_path / "out"
    write_wrapup_of(folder, *runs)
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert names == [
        *(f"pictures/{i}.jpg" for i in range(1, 6)),
        *(f"recipes/run_{i}.yaml" for i in range(1, 4)),
        "wrap-up.en.md", "wrap-up.html", "wrap-up.ko.md",
    ]  # fmt: skip
    recipe = yaml.safe_load((folder / "recipes" / "run_3.yaml").read_text())
    assert recipe == {"seed": 3, "optim": {"lr": 0.02}}


def test_wrapup__markdown_says_what_the_page_says(runs, tmp_path, no_browser):
    folder = tmp_path / "out"
    text, _ = write_wrapup_of(folder, *runs)
    english, korean = ((folder / f"wrap-up.{lang}.md").read_text("utf-8") for lang in ("en", "ko"))
    assert re.findall(r"^## (.*)$", english, re.M) == SECTIONS
    assert english.count("\n") == korean.count("\n")
    assert "![batch/" in english
    assert "(pictures/1.jpg)" in english
    assert not re.search("[가-힣]", english)
    assert "## 목표" in korean
    score = re.search(r"global mIoU (0\.\d{3})", english)
    assert score
    assert score[1] in read_english(text)


def test_wrapup__training_that_blew_up_or_was_cut_short(tmp_path, no_browser):
    run = write_run(tmp_path / "rough", undone=(1, 3), config={"train": {"epochs": 8}})
    words = read_english(write_wrapup_of(tmp_path / "out", run)[0])
    told = "training diverged in epoch 1, 3 and was repeated at half the learning rate"
    assert f"rough: {told}; it ended at 0.25 times the rate that was set." in words
    assert "rough: 3 of 8 epochs were trained." in words


def test_wrapup__doctor_and_changed_files(runs, tmp_path, no_browser):
    found = [("bbox-mismatch", 3)]
    text, _ = write_wrapup_of(tmp_path / "out", *runs, diagnose=lambda file: found)
    words = read_english(text)
    assert words.count("bunri doctor finds, in the JSON alone, bbox-mismatch (3).") == 1
    (tmp_path / "train.json").write_text("[]")
    text, _ = write_wrapup_of(tmp_path / "out", *runs, diagnose=lambda file: found)
    words = read_english(text)
    assert "train.json is missing or no longer the file that was used" in words
    assert "bbox-mismatch" not in words


def test_wrapup__one_run_without_anything_else(tmp_path, no_browser):
    run = write_run(tmp_path / "only", num_photos=3, has_pictures=False, config={})
    (run / "metrics.jsonl").unlink()
    (run / "timings.jsonl").unlink()
    text, _ = write_wrapup_of(tmp_path / "out", run)
    words = read_english(text)
    assert words.count("There is only one run, so there is nothing to compare it with.") == 2
    assert "No pictures. To include them, run bunri evaluate" in words
    assert "only: its folder holds no training history" in words
    assert not (tmp_path / "out" / "recipes").exists()


def test_wrapup__says_everything_in_both_languages(runs, tmp_path, no_browser):
    text, _ = write_wrapup_of(tmp_path / "out", *runs)
    reader = Reader(strip_scripts(text))
    assert len(reader.spoken["en"]) == len(reader.spoken["ko"]) > 60
    assert not re.search("[가-힣]", " ".join(reader.spoken["en"]))


def test_wrapup__names_are_letters(tmp_path, no_browser):
    hostile = ("Background", *HOSTILE[:3])
    files = [f"`{name}` | # [x](y) {i}.jpg" for i, name in enumerate(HOSTILE[:3])]
    run = write_run(tmp_path / "a|<b>`c", names=hostile, files=files, num_photos=3,
                    config={HOSTILE[0]: "```\n# x"})  # fmt: skip
    text, _ = write_wrapup_of(tmp_path / "out", run)
    reader = Reader(strip_scripts(text))
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    sources = [a["src"] or "" for tag, a in reader.tags if tag == "img"]
    assert len(sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    markdown = (tmp_path / "out" / "wrap-up.en.md").read_text("utf-8")
    assert not re.search(r"<(?!https?:)[a-z/]", re.sub(r"```.*?```", "", markdown, flags=re.S))


def test_write_markdown__escapes():
    t = read_texts("wrapup")
    sections = [
        Section(
            plain("1. a|b"),
            [
                Paragraph(plain("# no *heading* `code` <b> & [x](y)\nsame line")),
                Paragraph(plain("- no list")),
                Paragraph(plain("2. no list, 0.5 a number")),
                Grid([plain("a"), plain("b")], [[plain("x|y"), plain("0.123")]]),
                Grid([plain("a")], []),
                Code(["a ``` b"]),
            ],
        )
    ]
    assert write_markdown(plain("t"), sections, "en", t).split("\n\n") == [
        "# t",
        "## 1\\. a\\|b",
        "\\# no \\*heading\\* \\`code\\` &lt;b> &amp; \\[x\\](y) same line",
        "\\- no list",
        "2\\. no list, 0.5 a number",
        "| a | b |\n| --- | ---: |\n| x\\|y | 0.123 |",
        "Nothing is recorded.",
        "````\na ``` b\n````\n",
    ]


@needs_browser
def test_wrapup__pdf_in_each_language(runs, tmp_path):
    _, why_not = write_wrapup_of(tmp_path / "out", *runs)
    assert why_not == ""
    for language in ("en", "ko"):
        content = (tmp_path / "out" / f"wrap-up.{language}.pdf").read_bytes()
        assert content.startswith(b"%PDF")
        assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 6


def test_wrapup__browser_that_fails_spoils_nothing_else(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(wrapup_files, "find_browser", lambda: "/bin/false")
    text, why_not = write_wrapup_of(tmp_path / "out", *runs)
    assert "could not print" in why_not
    assert "1. Goal" in read_english(text)
    assert not list((tmp_path / "out").glob("*.pdf"))
