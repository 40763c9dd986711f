"""A COCO JSON as it lies on disk, before anyone has said that it is valid.

Owns reading it within limits. Knows nothing of photos, categories or outlines.
"""

import json
from pathlib import Path
from typing import Any

from bunri.contracts import MAX_JSON_BYTES, AnnotationError, PathError
from bunri.files import is_file, is_folder


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in a COCO file; of its content only ``images`` is sure to be a list.

    Raises:
        PathError: There is no such file, or it may not be read.
        AnnotationError: Too large, not UTF-8, not JSON, nested too deeply, or not COCO.
    """
    if not is_file(path):
        what = "is a folder" if is_folder(path) else "does not exist"
        raise PathError(f"The annotation file {path} {what}.", hint="Give the path of a COCO JSON.")
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise AnnotationError(
            f"{path} has {size} bytes; the limit is {MAX_JSON_BYTES}.",
            hint="Split it into several files of fewer photos; commands take more than one.",
        )
    try:
        document = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise AnnotationError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise AnnotationError(
            f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    except ValueError as error:  # an integer of thousands of digits
        raise AnnotationError(f"{path} holds a number that cannot be read: {error}.") from error
    except RecursionError as error:
        raise AnnotationError(f"{path} is nested too deeply to be COCO.") from error
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror}.") from error
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise AnnotationError(
            f"{path} is not a COCO file: it must be an object with a list 'images'.",
            hint="Expected keys: images, categories and, for labelled sets, annotations.",
        )
    return document
