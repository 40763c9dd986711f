"""The one loader of settings: YAML, ``key.path=value`` overrides, and every fault at once.

Every group of settings is a :class:`Section` in the room that it belongs to.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from bunri.core.errors import ConfigError, suggest


class Section(BaseModel):
    """Base class of every group of settings: unknown keys refused, no conversion, frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    FORMER_NAMES: ClassVar[Mapping[str, str]] = {}
    """Former name -> name of settings that were renamed; stored files may use either."""


S = TypeVar("S", bound=Section)


def load_settings(
    model: type[S], values: Mapping[str, Any], overrides: Sequence[str], source: str
) -> S:
    """Return settings with ``key.path=value`` overrides on top.

    Args:
        model: The settings' class.
        values: Settings by name, nested as in YAML or JSON; absent ones keep their default.
        overrides: Values of ``--set``, for example ``optim.lr=3e-4``; ``crf={}`` turns a section
            on with its defaults, ``crf=null`` off.
        source: Name of the settings in error messages.

    Raises:
        ConfigError: Unknown keys, wrong types, values out of range; all faults at once.
    """
    changed = json.loads(json.dumps(dict(values), default=str))
    problems = [p for override in overrides if (p := apply_override(changed, override))]
    for former, name in model.FORMER_NAMES.items():
        if former in changed:
            changed[name] = changed.pop(former)
    try:
        # Strict validation of JSON takes a list for a tuple and 1 for 1.0, and nothing else.
        settings = model.model_validate_json(json.dumps(changed, default=str))
    except ValidationError as error:
        problems += [explain_fault(model, dict(detail)) for detail in error.errors()]
    if problems:
        noun = "fault" if len(problems) == 1 else "faults"
        raise ConfigError(f"{len(problems)} {noun} in {source}:", problems=problems)
    return settings


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses aliases and a key given twice and reads ``1e-4`` as a number."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse aliases: a few lines of them can mean gigabytes, or a section in itself."""
        if self.check_event(yaml.AliasEvent):
            # Its stubs leave this one method without types.
            event: yaml.AliasEvent = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(f"aliases are not allowed; found *{event.anchor}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; PyYAML alone would let the last of two equal keys win silently."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str) or key in seen:
                is_word = isinstance(key, str)
                what = f"the key {key!r} is given twice" if is_word else "a key must be a word"
                raise yaml.constructor.ConstructorError(None, None, what, key_node.start_mark)
            seen.add(key)
            key_node.tag = "tag:yaml.org,2002:str"  # else 2021-05-01 would be a date, on True
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that :class:`_Loader` would read as something else."""


# YAML 1.1, which PyYAML speaks, wants a dot in every float: 1e-4 would be a string.
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+0123456789."),
    )


def parse_yaml(text: str, source: str) -> Any:  # noqa: ANN401 (any YAML value)
    """Return the value of a YAML text; keys are words, aliases are refused.

    Args:
        text: YAML.
        source: Name of the text in error messages.

    Raises:
        ConfigError: It is not valid.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # What PyYAML lets through for a value that is not of its kind, such as 2021-13-45.
        raise ConfigError(f"{source} holds a value that is not valid YAML: {error}") from error


def dump_yaml(values: object) -> str:
    """Return YAML text from which :func:`parse_yaml` reads an equal value."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def write_overrides(settings: Mapping[str, Any]) -> list[str]:
    """Return settings by ``key.path`` as ``key.path=value`` texts; JSON values are YAML values."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]


def apply_override(values: dict[str, Any], override: str) -> str | None:
    """Set one ``key.path=value`` in nested ``values``; return its fault, None if it has none."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        return f"--set {override!r}: must look like key.path=value, for example optim.lr=3e-4"
    section = values
    for part in parts[:-1]:
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            return f"--set {override!r}: {part!r} is a single value, not a section"
    try:
        section[parts[-1]] = parse_yaml(text, f"--set {override}") if text else ""
    except ConfigError as error:
        return str(error)
    return None


def explain_fault(model: type[BaseModel], detail: dict[str, Any]) -> str:
    """Return one pydantic error about ``model`` as ``key: value, rule``, with the nearest key."""
    path = [str(part) for part in detail["loc"]]
    key, value = ".".join(path) or "config", detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown setting.{suggest(path[-1], _list_keys(model, path[:-1]))}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "literal_error":
        allowed = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        return f"{key}: {value!r} is not allowed.{suggest(str(value), allowed)}"
    if isinstance(value, dict):
        return f"{key}: {message}"
    return f"{key}: {value!r} is not allowed: {message[0].lower()}{message[1:]}"


def _list_keys(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys of the section at ``path`` of ``model``."""
    for part in path:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
