"""What all models of options have in common: frozen, closed, every fault in words, described by their fields."""

from __future__ import annotations

import datetime as dt
import difflib
import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union, get_args, get_origin

import pydantic
from pydantic import BaseModel, ConfigDict

from insar_mining.doors import one_line
from insar_mining.errors import OptionError

ENGINE_VARIABLE = "INSAR_MINING_ENGINE"


class Options(BaseModel):
    """Refuse unknown keys and changes; every fault is an `OptionError` (base of the option models)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    if not TYPE_CHECKING:  # the type checker keeps the signature that the fields give

        def __init__(self, **values):
            try:
                super().__init__(**values)
            except pydantic.ValidationError as error:
                raise OptionError("; ".join(_fault(type(self), detail) for detail in error.errors())) from None

        # sections are then validated in place, so that a fault knows its whole dotted name
        __init__.__pydantic_base_init__ = True

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: pydantic.ValidationInfo) -> object:
        """Refuse true and false where a number is meant: they would be taken for 1 and 0."""
        field = cls.model_fields[str(info.field_name)]
        parts = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(part, bool) for part in parts) and not _takes_bool(field.annotation):
            raise ValueError("must be a number or text, not true or false")
        return value

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed, validated like new ones.

        A value of None means "as it was", so that arguments nobody gave can be passed on.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **given})


def _fault(model: type[Options], detail: Any) -> str:
    """Put one fault that pydantic found into words: the value, the limit, the remedy."""
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown option {name!r}; {_nearest(model, detail['loc'])}"
    if not name:
        return str(detail["msg"]).removeprefix("Value error, ")
    source = f" (from the environment's {ENGINE_VARIABLE})" if _is_from_environment(name, detail["input"]) else ""
    problem = str(detail["msg"]).replace("Input should be", "must be").replace("Value error, ", "")
    return f"option {name!r} is {one_line(repr(detail['input']))}{source}: {problem}"


def _takes_bool(annotation: object) -> bool:
    return annotation in (bool, Any) or any(_takes_bool(part) for part in get_args(annotation))


def _is_from_environment(name: str, value: object) -> bool:
    return name.split(".")[-1] == "engine" and value == os.environ.get(ENGINE_VARIABLE)


def _nearest(model: type[Options], location: tuple[str | int, ...]) -> str:
    """Name the valid option that is most like an unknown one: of its own section if one is, else of any."""
    *sections, key = (str(part) for part in location)
    section = ".".join(sections)
    paths = [path for path, _ in fields_of(model)]
    here = {path.removeprefix(f"{section}."): path for path in paths if path.startswith(f"{section}.") or not section}
    anywhere = {path.split(".")[-1]: path for path in reversed(paths)}
    for names in (here, anywhere):
        close = difflib.get_close_matches(key, list(names), n=1)
        if close:
            return f"did you mean {names[close[0]]!r}?"
    return f"known are {', '.join(here)}"


def fields_of(model: type[Options], prefix: str = "") -> Iterator[tuple[str, pydantic.fields.FieldInfo]]:
    """Yield the dotted name and the field of every option of a model, section by section."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Options):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def field_at(model: type[Options], path: str) -> pydantic.fields.FieldInfo:
    """Return the field of an option by its dotted name."""
    section, _, rest = path.partition(".")
    field = model.model_fields[section]
    if not rest:
        return field
    inner = field.annotation
    assert isinstance(inner, type), path
    assert issubclass(inner, Options), path
    return field_at(inner, rest)


def flag(name: str) -> dict[str, pydantic.JsonValue]:
    """Name the flag of an option on the command line, where that is not the option's own name."""
    return {"flag": name}


def one_path(value: object) -> object:
    """Join a list of paths to one, with ``:`` between (``;`` on Windows), as the variable PATH has them."""
    return os.pathsep.join(map(str, value)) if isinstance(value, list | tuple) and value else value


def help_of(model: type[Options], path: str) -> str:
    """Return the description of an option with its limits, as the command line shows it."""
    field = field_at(model, path)
    limits = limits_of(field)
    return f"{field.description}{f' [{limits}]' if limits else ''}"


def default_of(model: type[Options], path: str) -> str | None:
    """Return an option's default as text, None if it has none."""
    value = field_at(model, path).get_default(call_default_factory=True, validated_data={})
    return None if value is None or value == () else plain_text(path, value)


def plain_text(name: str, value: object) -> str:
    """Return a value as it stands in tables and help."""
    shown = plain(name, value)
    return ", ".join(str(part) for part in shown) if isinstance(shown, list) else str(shown)


def limits_of(field: pydantic.fields.FieldInfo) -> str:
    """Return the bounds or choices of a field: ``0 < x <= 5000``, ``VV | VH``."""
    choices = _choices(field.annotation)
    if choices:
        return " | ".join(choices)
    bounds = {sign: getattr(m, sign) for m in field.metadata for sign in ("gt", "ge", "lt", "le") if hasattr(m, sign)}
    low = f"{bounds['gt']} < " if "gt" in bounds else f"{bounds['ge']} <= " if "ge" in bounds else ""
    high = f" < {bounds['lt']}" if "lt" in bounds else f" <= {bounds['le']}" if "le" in bounds else ""
    return f"{low}x{high}" if low or high else ""


def _choices(annotation: object) -> list[str]:
    origin = get_origin(annotation)
    if origin is Literal:
        return [str(choice) for choice in get_args(annotation)]
    if origin in (Union, types.UnionType, Annotated, tuple):
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return []


def plain(name: str, value: object) -> Any:
    """Turn a validated value into what YAML writes and the model reads again."""
    if name.split(".")[-1] == "window" and isinstance(value, tuple):
        return "x".join(str(side) for side in value)
    if isinstance(value, tuple):
        return [plain("", part) for part in value]
    if isinstance(value, Path | dt.date):
        return str(value)
    return value
