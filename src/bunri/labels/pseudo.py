"""How a COCO file says that its labels are a model's and not a person's.

Owns the keys that say so. Knows nothing of models and of how such labels are made.

Two marks, so that one of them outlives most tools: ``info.pseudo_labels``, which tells where the
labels are from, and ``pseudo: true`` on each annotation. Either makes the whole file one of
pseudo-labels: a score on labels that are partly a model's own would be no score.
"""

from collections.abc import Iterable
from typing import Any

INFO_KEY = "pseudo_labels"
"""Of ``info``: teachers, thresholds and photos."""
MARK = "pseudo"
"""Of a row of ``annotations``."""
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

    Where that is not told, or damaged, there are none: it is a courtesy of whoever wrote the file.
    """
    teachers = _read_origin(document).get("teachers")
    rows = teachers if isinstance(teachers, list) else []
    texts = [row.get(_PHOTOS_KEY) for row in rows if isinstance(row, dict)]
    return frozenset[str]().union(*(unpack_hashes(text) or () for text in texts))


def describe_teacher(name: str, weights_sha256: str, photos: Iterable[str]) -> dict[str, Any]:
    """Return what a file of pseudo-labels tells of one of its teachers.

    Args:
        name: As given on the command line.
        weights_sha256: Of its weights, 64 hex digits.
        photos: Hashes of the photos it was trained on; see :func:`pack_hashes`.
    """
    return {"name": name, "sha256": weights_sha256, _PHOTOS_KEY: pack_hashes(photos)}


def shorten_hash(digest: str) -> str:
    """Return what is kept of a photo's hash, see ``audit.similarity.hash_pixels``: 16 hex digits.

    64 bits: among ten thousand photos two share a hash with a chance of 3 in 10^12.
    """
    return digest[:_HASH_DIGITS]


def pack_hashes(hashes: Iterable[str]) -> str:
    """Return hashes of :func:`shorten_hash` as one text: ascending, none twice."""
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
