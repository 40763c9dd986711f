"""The one way to read back JSON that bunri wrote: a pydantic model per file, errors in words."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from bunri.core.errors import BunriError, InputError, summarize


class JsonRecord(BaseModel):
    """Base class of what a JSON file of bunri holds: frozen, no conversion of types.

    Unknown keys are ignored, so that a file written by a later version of bunri with more
    facts in it can still be read; a change of meaning raises the file's ``format`` number.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


R = TypeVar("R", bound=JsonRecord)


def parse_json_record(
    content: bytes | str,
    model: type[R],
    source: str,
    *,
    error: type[BunriError] = InputError,
    hint: str = "",
) -> R:
    """Return the record that a JSON text holds.

    Args:
        content: JSON text.
        model: The record's class.
        source: Name of the text in error messages, usually its path.
        error: Class of the error to raise.
        hint: Next step for the user, in case of an error.

    Raises:
        BunriError: Of class ``error``: the text is not JSON, or values are absent or wrong; all
            faults at once.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as failure:
        problems = [
            f"{'.'.join(map(str, detail['loc'])) or 'content'}: {detail['msg']}"
            for detail in failure.errors(include_url=False)
        ]
        raise error(
            f"{source} is incomplete or damaged:", problems=problems, hint=hint
        ) from failure


def read_json_record(
    path: Path,
    model: type[R],
    *,
    max_bytes: int,
    error: type[BunriError] = InputError,
    hint: str = "",
) -> R:
    """Return the record in a JSON file.

    Args:
        path: The file.
        model: The record's class.
        max_bytes: Largest file that is read.
        error: Class of the error to raise.
        hint: Next step for the user, in case of an error.

    Raises:
        BunriError: Of class ``error``: the file cannot be read, is larger than ``max_bytes``, or
            does not hold such a record.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as failure:
        raise error(f"{path} cannot be read: {failure.strerror}.", hint=hint) from failure
    except ValueError as failure:  # a name that no file can have
        raise error(f"{path} cannot be read: {summarize(failure)}.", hint=hint) from failure
    if len(content) > max_bytes:
        raise error(f"{path} is larger than {max_bytes} bytes.", hint=hint)
    return parse_json_record(content, model, str(path), error=error, hint=hint)
