"""The one way to read back JSON that bunri wrote: a pydantic model per file, errors in words."""

from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bunri.core.errors import BunriError, InputError, summarize
from bunri.core.version import __version__


class JsonRecord(BaseModel):
    """Base class of what a JSON file of bunri holds: frozen, no conversion of types.

    Unknown keys are ignored, so that a file written by a later version of bunri with more
    facts in it can still be read; a change of meaning raises the file's ``format`` number.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    newest_format: ClassVar[int | None] = None
    """Newest ``format`` number of the file that this version reads; None if it has no number."""


class _Header(JsonRecord):
    """The keys that every file with a format number has, whatever the others mean."""

    format: Annotated[int, Field(ge=1)]
    bunri: str = "unknown"


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
        BunriError: An error of class ``error``: the text is not JSON, values are absent or wrong
            (all faults at once), or a newer version of bunri wrote it in a later format.
    """
    try:
        if model.newest_format is not None:
            header = _Header.model_validate_json(content)
            if header.format > model.newest_format:
                raise error(
                    f"{source} was written by bunri {header.bunri!r}, which is newer than this "
                    f"one ({__version__}).",
                    hint="Upgrade with: pip install --upgrade bunri",
                )
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
    """Return the record in a JSON file of at most ``max_bytes``.

    Raises:
        BunriError: An error of class ``error``: the file cannot be read, is larger, or
            does not hold such a record; see :func:`parse_json_record`.
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
