"""Errors that say enough, and the words their messages are made of."""

import pytest

from bunri.core import errors
from bunri.core.errors import BunriError, drop_controls, suggest, summarize


def test_bunri_error__message_alone():
    assert str(BunriError("It is broken.")) == "It is broken."


def test_bunri_error__problems_and_hint_on_lines_of_their_own():
    error = BunriError("Two faults:", problems=["one", "two"], hint="Mend them.")
    assert str(error).splitlines() == ["Two faults:", "  - one", "  - two", "Mend them."]


def test_bunri_error__more_problems_than_shown_are_counted():
    lines = str(BunriError("Many:", problems=[f"p{i}" for i in range(23)])).splitlines()
    assert lines[1] == "  - p0"
    assert lines[20] == "  - p19"
    assert lines[21:] == ["  - ... and 3 more"]


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("ConfigError", "BunriError"),
        ("InputError", "BunriError"),
        ("AnnotationError", "InputError"),
        ("ImageError", "InputError"),
        ("SubmissionError", "InputError"),
        ("PathError", "InputError"),
        ("ModelError", "BunriError"),
        ("WeightsError", "ModelError"),
        ("RunError", "BunriError"),
        ("OutputError", "BunriError"),
        ("MissingExtraError", "BunriError"),
    ],
)
def test_errors__family_tree_of_the_docstring(child, parent):
    assert getattr(errors, child).__bases__ == (getattr(errors, parent),)


def test_suggest__nearest_words_and_all_that_are_allowed():
    text = suggest("papr", ["Paper", "Glass"])
    assert text == " Did you mean 'Paper'? Allowed: Paper, Glass."


def test_suggest__nothing_near():
    assert suggest("zzz", ["Paper", "Glass"]) == " Allowed: Paper, Glass."


def test_suggest__case_does_not_matter():
    assert "'Paper pack'" in suggest("PAPER PACK", ["Paper pack", "Glass"])


def test_suggest__long_lists_are_not_repeated():
    words = [f"word{i:02}" for i in range(17)]
    assert "Allowed" not in suggest("word03", words)
    assert "Allowed" in suggest("word03", words[:16])


def test_suggest__nothing_allowed():
    assert suggest("x", []) == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("It broke."), "It broke"),
        (ValueError("first\nsecond"), "first"),
        (KeyError("a"), "'a'"),
        (ValueError(), "ValueError"),
    ],
)
def test_summarize__first_line_without_a_full_stop(error, expected):
    assert summarize(error) == expected


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Paper pack 종이팩 ♻", "Paper pack 종이팩 ♻"),
        ("\x1b[31mred\x07", "�[31mred�"),
        ("\u202egpj.exe\u2066", "�gpj.exe�"),
        ("a\u2028b\u200fc\ud800d\ne", "a�b�c�d�e"),
    ],
)
def test_drop_controls__replaces_what_steers(text, shown):
    assert drop_controls(text) == shown


def test_drop_controls__keeps_what_is_named():
    assert drop_controls("a\nb\tc", keep="\n") == "a\nb�c"
