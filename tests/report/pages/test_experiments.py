"""Runs side by side: what is read of them, and what the table says."""

import json
import re

import pytest

from bunri.core.errors import InputError, PathError
from bunri.report.experiments import (
    describe_changes,
    find_best,
    list_experiments,
    show_difference,
    show_seconds,
)
from bunri.report.pages.experiments import write_experiments_page
from bunri.report.pictures import write_pictures
from bunri.report.records import list_undone, read_history, read_records, shorten_names
from bunri.report.texts import read_texts
from bunri.scores.comparison import compare_results, line_up_results
from bunri.scores.result_files import write_result
from bunri.scores.results import score_counts
from tests.report.made import make_evaluation
from tests.report.pages.test_evaluation import read_english
from tests.report.pages.test_stats import HOSTILE, Reader, strip_scripts

T = read_texts("common", "evaluation", "experiments", "wrapup")


def write_run(folder, *, num_photos=12, num_epochs=3, has_pictures=True, undone=(), **changes):
    """Write a run folder as training and ``bunri evaluate --report`` leave it, but the model.

    Training blew up once in each epoch of ``undone``.
    """
    result, keeper, _ = make_evaluation(num_photos, **changes)
    scores = {size: score_counts(counts) for size, counts in result.sizes.items()}
    write_result(folder / "evaluation", result, scores)
    if has_pictures:
        write_pictures(folder / "evaluation", keeper.list_pictures())
    lines = [
        json.dumps(
            {
                "epoch": i,
                "train_loss": 2 / i,
                "val_loss": 1 + abs(i - 2),
                "miou": {"global": 0.1 * i, "per_image": None},
                "rollbacks": (count := sum(epoch <= i for epoch in undone)),
                "rate_scale": 0.5**count,
            }
        )
        for i in range(1, num_epochs + 1)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "timings.jsonl").write_text('{"epoch": 1, "train_s": 60.5, "val_s": 3.5}\n' * 3)
    return folder


def write_page_of(path, *runs):
    records = read_records([str(run) for run in runs])
    comparison = line_up_results({record.name: record.result for record in records})
    write_experiments_page(path, records, comparison)
    return path.read_text("utf-8"), comparison


@pytest.fixture
def pair(tmp_path):
    first = write_run(tmp_path / "first")
    second = write_run(tmp_path / "second", config={"seed": 1, "optim": {"lr": 0.02}}, seed=0)
    return first, second


def test_read_records__what_a_run_left(pair):
    (record,) = read_records([str(pair[0])])
    assert record.name == "first"
    assert [epoch.number for epoch in record.history] == [1, 2, 3]
    assert record.history[1].global_miou == pytest.approx(0.2)
    assert record.history[1].per_image_miou is None
    assert record.train_s == 192
    assert len(record.pictures) == 12
    assert record.data == ()
    (same,) = read_records([str(pair[0] / "evaluation")])
    assert same.history == record.history


def test_read_history__undone_epochs(tmp_path):
    history = read_history(write_run(tmp_path / "run", num_epochs=5, undone=(2, 2, 4)))
    assert [epoch.num_rollbacks for epoch in history] == [0, 2, 2, 3, 3]
    assert history[-1].rate_scale == 0.125
    assert list_undone(history) == [2, 4]
    assert list_undone([]) == []


def test_read_history__of_a_run_before_they_were_kept(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    history = read_history(tmp_path)
    assert [(epoch.num_rollbacks, epoch.rate_scale) for epoch in history] == [(0, 1)] * 2


def test_page__undone_epochs_are_said(pair, tmp_path):
    undone = write_run(tmp_path / "undone", undone=(2, 3))
    words = read_english(write_page_of(tmp_path / "a.html", *pair, undone)[0])
    assert "3 rolled back: 2, 3" in words
    assert words.count("rolled back: ") == 1
    assert "repeated at half the learning rate" in words
    assert "repeated at half" not in read_english(write_page_of(tmp_path / "b.html", *pair)[0])


def test_read_records__not_evaluated(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(PathError, match="holds no evaluation") as caught:
        read_records([str(tmp_path / "run")])
    assert "bunri evaluate" in caught.value.hint


@pytest.mark.parametrize(
    "line", ["{", '{"epoch": "x"}', '{"epoch": 1, "val_loss": NaN}', "[" * 100_000]
)
def test_read_history__damaged(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(line)
    with pytest.raises(InputError, match=r"metrics.jsonl, line 1, is incomplete or damaged"):
        read_history(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"train": 3, "val": []}', '{"train": [{}], "val": []}'])
def test_read_records__data_is_damaged(pair, text):
    (pair[0] / "data.json").write_text(text)
    with pytest.raises(InputError, match=r"data.json is incomplete or damaged"):
        read_records([str(pair[0])])


def test_shorten_names__as_much_as_tells_them_apart():
    assert shorten_names(["runs/a", "runs/b"]) == ["a", "b"]
    assert shorten_names(["x/a", "y/a", "x/b"]) == ["x/a", "y/a", "x/b"]


def test_page__figures_are_those_of_the_comparison(pair, tmp_path):
    text, comparison = write_page_of(tmp_path / "a.html", *pair)
    words = read_english(text)
    assert "Scores on the 12 photos that all runs were evaluated on. Best: first." in words
    for run in comparison.runs:
        assert f"{run.sheet.global_miou:.3f} " in words
    assert "optim.lr: 0.001 → 0.02" in words
    assert "the baseline" in words
    assert "no evidence +0.000 (+0.000 … +0.000)" in words
    assert " 3 min " in words
    assert "4.0 M" in words


def test_page__sorting_keys(pair, tmp_path):
    text, comparison = write_page_of(tmp_path / "a.html", *pair)
    body = re.search(r"<tbody>(.*?)</tbody>", text, re.S)
    assert body
    for row, run in zip(body[1].split("<tr>")[1:], comparison.runs, strict=True):
        values = re.findall(r'data-value="([^"]*)"', row)
        assert float(values[1]) == run.sheet.global_miou
        assert float(values[3]) == run.sheet.per_image_miou
        assert values[2] == ("" if run.differences is None else "0.0")
        assert float(values[4]) == run.small.sheet.global_miou
        assert values[5:] == ["3", "192.0", "0.125", "16000000.0", "4000000"]


def test_page__one_run_alone(pair, tmp_path):
    text, _ = write_page_of(tmp_path / "a.html", pair[0])
    assert "Best: first." in read_english(text)
    assert "▲" not in strip_scripts(text)


def test_page__without_histories_is_small(pair, tmp_path):
    for run in pair:
        (run / "metrics.jsonl").unlink()
        (run / "timings.jsonl").unlink()
    text, _ = write_page_of(tmp_path / "a.html", *pair)
    assert len(text) < 60_000
    assert 'data-plot="' not in text


def test_page__photos_that_not_all_have_are_said(pair, tmp_path):
    part = write_run(tmp_path / "part", num_photos=7)
    text, _ = write_page_of(tmp_path / "a.html", pair[0], part)
    words = read_english(text)
    assert "Scores on the 7 photos" in words
    assert "first: 5 photos were left out because not all runs have them." in words


def test_page__names_are_letters(tmp_path):
    config = {HOSTILE[0]: HOSTILE[1], "optim": {HOSTILE[2]: "\x1b[2J\u202e"}}
    first = write_run(tmp_path / "first", names=("Background", *HOSTILE[:3]))
    second = write_run(
        tmp_path / "<img src=x onerror=1>", names=("Background", *HOSTILE[:3]), config=config
    )
    text, _ = write_page_of(tmp_path / "a.html", first, second)
    reader = Reader(strip_scripts(text))
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert not any(tag in {"img", "svg"} for tag, _ in reader.tags)
    assert "\u202e" not in text
    assert "\x1b" not in text
    found = re.search(r'id="plots">(.*?)</script>', text, re.S)
    assert found
    assert not re.search("[<>]", found[1])


def test_page__says_everything_in_both_languages(pair, tmp_path):
    text, _ = write_page_of(tmp_path / "a.html", *pair)
    reader = Reader(strip_scripts(text))
    assert len(reader.spoken["en"]) == len(reader.spoken["ko"]) > 25
    assert not re.search("[가-힣]", " ".join(reader.spoken["en"]))


def make_experiments(*configs):
    results = {str(i): make_evaluation(12, config=config)[0] for i, config in enumerate(configs)}
    comparison = (line_up_results if len(results) == 1 else compare_results)(results)
    from bunri.report.records import RunRecord

    records = [RunRecord(name, result) for name, result in results.items()]
    return list_experiments(records, comparison)


def test_describe_changes__many_are_cut():
    one, other, same, unknown = make_experiments(
        {f"key{i}": i for i in range(40)}, {f"key{i}": -i for i in range(40)},
        {f"key{i}": i for i in range(40)}, {},
    )  # fmt: skip
    assert describe_changes(one, T) == T("first_run")
    assert describe_changes(other, T).en.endswith("and 27 more")
    assert describe_changes(other, T).en.startswith("key1: 1 → -1; key10")
    assert describe_changes(same, T) == T("no_change")
    assert describe_changes(unknown, T) == T("settings_unknown")


def test_find_best__first_of_equals():
    experiments = make_experiments({"a": 1}, {"a": 2})
    assert find_best(experiments) is experiments[0]


def test_show_difference__sign_and_interval():
    _, other = make_experiments({"a": 1}, {"a": 2})
    assert other.difference is not None
    assert show_difference(other.difference) == "+0.000 (+0.000 … +0.000)"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0.123, "0.12 s"), (42.4, "42 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_show_seconds(seconds, shown):
    assert show_seconds(seconds, T).en == shown
