"""Texts of pages in English and Korean, read from ``wording/*.yaml``."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

import yaml
from markupsafe import Markup

from bunri.core.classes import ClassInfo, ClassTable
from bunri.core.errors import drop_controls
from bunri.scores.metrics import list_class_scores, list_scores

LANGUAGES = ("en", "ko")
T = TypeVar("T")
Built = dict[str, dict[str, T]]
"""Parts of a page: key in the template -> language -> part."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text in each language; plain text, not HTML."""

    en: str
    ko: str

    def to(self, language: str) -> str:
        """Return the words in one of :data:`LANGUAGES`."""
        return {"en": self.en, "ko": self.ko}[language]

    def __html__(self) -> str:
        """Return the text in both languages as HTML; the page shows one of them.

        ``bdi``, since names from data may run from right to left and must not turn the text
        around them.
        """
        if self.en == self.ko:
            return Markup("<bdi>{}</bdi>").format(self.en)
        pattern = Markup('<bdi lang="{}">{}</bdi>')
        return Markup("").join(pattern.format(lang, self.to(lang)) for lang in LANGUAGES)


class Texts:
    """The texts of a page, by key."""

    def __init__(self, texts: Mapping[str, Text]) -> None:
        self._texts = texts

    def __call__(self, key: str, /, **values: str | int | Text) -> Text:
        """Return a text with its ``{places}`` filled, each language with its own words."""
        words = []
        for language in LANGUAGES:
            chosen = {k: v.to(language) if isinstance(v, Text) else v for k, v in values.items()}
            words.append(self._texts[key].to(language).format(**chosen))
        return Text(*words)


@dataclass(frozen=True, slots=True)
class OneLanguage:
    """The texts of a page in one language."""

    texts: Texts
    language: str

    def __call__(self, key: str, /, **values: str | int | Text) -> str:
        """Return a text with its ``{places}`` filled."""
        return self.texts(key, **values).to(self.language)

    def name_class(self, info: ClassInfo) -> str:
        """Return the name of a class."""
        return name_class(info).to(self.language)


def collect_languages(t: Texts, build: Callable[[OneLanguage], Mapping[str, T]]) -> Built[T]:
    """Return what ``build`` returns for each language: key -> language -> value."""
    found: Built[T] = {}
    for language in LANGUAGES:
        for key, value in build(OneLanguage(t, language)).items():
            found.setdefault(key, {})[language] = value
    return found


def read_texts(*names: str) -> Texts:
    """Return the texts of the files ``wording/*.yaml``, and the labels and notes of all scores."""
    scores = (*list_scores(), *list_class_scores())
    texts = {score.key: Text(score.label, score.label_ko) for score in scores}
    texts |= {f"note_{score.key}": Text(score.note, score.note_ko) for score in scores}
    for name in names:
        file = resources.files("bunri.report") / "wording" / f"{name}.yaml"
        rows = yaml.safe_load(file.read_text("utf-8"))
        texts |= {key: Text(**row) for key, row in rows.items()}
    return Texts(texts)


def clean_name(en: str, ko: str | None = None) -> Text:
    """Return a name from data with control and bidirectional characters replaced."""
    return Text(drop_controls(en), drop_controls(en if ko is None else ko))


def name_class(info: ClassInfo) -> Text:
    """Return the name of a class in both languages."""
    return clean_name(info.name, info.name_ko)


def describe_classes(table: ClassTable) -> list[dict[str, Any]]:
    """Return the class rows of ``templates/parts.html``."""
    return [
        {"index": index, "name": name_class(info), "color": f"rgb{info.color_rgb}"}
        for index, info in enumerate(table.classes)
    ]


def list_scarce_classes(
    table: ClassTable, num_photos: Iterable[int], limit: int, t: Texts
) -> tuple[list[Text], list[Text]]:
    """Return the classes in no photo, and those in fewer than ``limit`` with their numbers."""
    rows = list(zip(map(name_class, table.classes), num_photos, strict=True))
    absent = [name for name, photos in rows if not photos]
    rare = [
        t("warning_rare_class", name=name, photos=photos)
        for name, photos in rows
        if 0 < photos < limit
    ]
    return absent, rare


def join_texts(texts: list[Text], separator: str = ", ") -> Text:
    """Return several texts as one list."""
    return Text(*(separator.join(text.to(language) for text in texts) for language in LANGUAGES))
