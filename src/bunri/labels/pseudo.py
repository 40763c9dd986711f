"""Keys of a COCO file that mark its labels as a model's (pseudo-labels).

Two marks, so that one of them survives most tools: ``info.pseudo_labels``, which describes the
teachers, and ``pseudo: true`` on each annotation. Either marks the whole file: a score on labels
that are partly a model's own would not be one.
"""

from collections.abc import Iterable
from typing import Any

INFO_KEY = "pseudo_labels"
"""Key in ``info``: teachers, thresholds and photos."""
MARK = "pseudo"
"""Key in a row of ``annotations``."""
_PHOTOS_KEY = "trained_on"
_HASH_DIGITS = 16


def describes_pseudo_labels(document: dict[str, Any]) -> bool:
    """Return whether a COCO document has a mark of pseudo-labels."""
    annotations = document.get("annotations")
    rows = annotations if isinstance(annotations, list) else []
    is_marked = any(isinstance(row, dict) and row.get(MARK) is True for row in rows)
    return is_marked or bool(_read_origin(document))


def read_teacher_photos(document: dict[str, Any]) -> frozenset[str]:
    """Return hashes of the photos that the teachers of a document were trained on.

    Missing or damaged entries are ignored: the file can be used without them.
    """
    teachers = _read_origin(document).get("teachers")
    rows = teachers if isinstance(teachers, list) else []
    texts = [row.get(_PHOTOS_KEY) for row in rows if isinstance(row, dict)]
    return frozenset[str]().union(*(unpack_hashes(text) or () for text in texts))


def describe_teacher(name: str, weights_sha256: str, photos: Iterable[str]) -> dict[str, Any]:
    """Return the entry of one teacher in a file of pseudo-labels."""
    return {"name": name, "sha256": weights_sha256, _PHOTOS_KEY: pack_hashes(photos)}


def shorten_hash(digest: str) -> str:
    """Return the first 16 hex digits of a hash of :func:`bunri.images.similarity.hash_pixels`.

    64 bits: among ten thousand photos two share a hash with a chance of 3 in 10^12.
    """
    return digest[:_HASH_DIGITS]


def pack_hashes(hashes: Iterable[str]) -> str:
    """Return hashes of :func:`shorten_hash` as one text: ascending, without repeats."""
    return " ".join(sorted(set(hashes)))


def unpack_hashes(text: object) -> frozenset[str] | None:
    """Return the hashes in a text of :func:`pack_hashes`; None for anything else."""
    if not isinstance(text, str):
        return None
    words = text.split()
    is_sound = all(len(w) == _HASH_DIGITS and set(w) <= set("0123456789abcdef") for w in words)
    return frozenset(words) if is_sound else None


def _read_origin(document: dict[str, Any]) -> dict[str, Any]:
    info = document.get("info")
    origin = info.get(INFO_KEY) if isinstance(info, dict) else None
    return origin if isinstance(origin, dict) else {}
