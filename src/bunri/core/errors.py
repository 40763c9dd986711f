"""The errors a user may meet, and the helpers that word their messages.

All of them end a command with exit code 2::

    BunriError
    +-- ConfigError           a setting is unknown, of the wrong type or out of range
    +-- InputError            something the user gave cannot be used
    |   +-- AnnotationError       the COCO JSON
    |   +-- ImageError            a photo
    |   +-- SubmissionError       a submission.csv
    |   +-- PathError             a path that is missing or leaves its root
    +-- ModelError            a bundle that is not one, or does not fit
    |   +-- WeightsError          pretrained weights that cannot be had
    +-- RunError              a run folder that is in use, taken, or cannot be resumed
    +-- OutputError           a result that cannot be written
    +-- MissingExtraError     an optional part of bunri that is not installed
"""

import difflib
from collections.abc import Iterable, Sequence

MAX_PROBLEMS_SHOWN = 20


class BunriError(Exception):
    """An error that the user can correct.

    Args:
        message: Sentence naming the fault, the value and the rule.
        problems: One line per fault, where several were found at once.
        hint: Next step for the user.
    """

    def __init__(self, message: str, *, problems: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        lines += [f"  - {problem}" for problem in self.problems[:MAX_PROBLEMS_SHOWN]]
        if len(self.problems) > MAX_PROBLEMS_SHOWN:
            lines.append(f"  - ... and {len(self.problems) - MAX_PROBLEMS_SHOWN} more")
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class ConfigError(BunriError):
    """A setting is unknown, of the wrong type or out of range."""


class InputError(BunriError):
    """Something the user gave cannot be used."""


class AnnotationError(InputError):
    """The COCO JSON cannot be used."""


class ImageError(InputError):
    """A photo cannot be used."""


class SubmissionError(InputError):
    """A submission.csv cannot be used."""


class PathError(InputError):
    """A path is missing or leaves its root."""


class ModelError(BunriError):
    """A bundle is not one, is damaged, or does not fit."""


class WeightsError(ModelError):
    """Pretrained weights cannot be had."""


class RunError(BunriError):
    """A run folder is in use, taken, or cannot be resumed."""


class OutputError(BunriError):
    """A result cannot be written."""


class MissingExtraError(BunriError):
    """An optional part of bunri is not installed."""


def suggest(value: str, allowed: Iterable[str], *, count: int = 3) -> str:
    """Return `` Did you mean 'x'? Allowed: ...`` for a word that is none of ``allowed``.

    Args:
        value: Word that the user wrote.
        allowed: All valid words; listed in the text when there are at most 16.
        count: Largest number of similar words to name.
    """
    words = list(allowed)
    lowered = {word.lower(): word for word in words}
    near = difflib.get_close_matches(value.lower(), lowered, n=count, cutoff=0.6)
    text = f" Did you mean {' or '.join(repr(lowered[word]) for word in near)}?" if near else ""
    return text + (f" Allowed: {', '.join(words)}." if 0 < len(words) <= 16 else "")


def drop_controls(text: str, *, keep: str = "") -> str:
    """Return text from a data file that is safe to print on a terminal.

    Unprintable characters (controls, escapes, marks of writing direction, lone surrogates) are
    replaced, except those in ``keep``.
    """
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def summarize(error: BaseException) -> str:
    """Return the first line of another library's error message, without its full stop."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
