"""Command-line parameters made from the fields of the option models: name, type, help, limits and default."""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typer

from insar_mining.cli import parameters
from insar_mining.errors import OptionError
from insar_mining.options.base import Options, default_of, field_at, fields_of, help_of
from insar_mining.options.models import SnapOptions, read_options

Model = TypeVar("Model", bound=Options)
Command = Callable[..., None]

# endings of option names that are units, and how the help shows a value of that unit
UNITS = {"_mb_s": "MB", "_gb": "GB", "_days": "DAYS", "_m": "METRES", "_s": "SECONDS"}


def with_options(
    model: type[Options],
    paths: Iterable[str] = (),
    *,
    into: str = "options",
    arguments: Sequence[str] = (),
    config: bool = False,
) -> Callable[[Command], Command]:
    """Give a command one parameter for each of some options of a model.

    The function takes the model's values as one argument; its further parameters are the command's own, and
    may be made by another `with_options`.

    Parameters
    ----------
    model : type of Options
    paths : iterable of str
        Dotted names of the options to offer, such as ``"pairs.max_perp_baseline_m"``, in their order; by
        default all.
    into : str
        Name of the function's argument.
    arguments : sequence of str
        Those that are given by their place instead of a flag.
    config : bool
        Also offer ``--config`` with a file of these options.
    """
    offered = tuple(paths) or tuple(path for path, _ in fields_of(model))
    switched_off = {path for path in offered if _is_switch_off(model, path)}
    made = {_name(model, path): (path, _parameter(model, path, path in arguments)) for path in offered}
    shared = {"config": parameters.Config} if config else {}
    if "snap" in model.model_fields:
        shared["snap"] = parameters.Snap

    def decorate(function: Command) -> Command:
        hints = get_type_hints(function, include_extras=True)
        own = [
            p.replace(annotation=hints[p.name])
            for p in inspect.signature(function).parameters.values()
            if p.name != into
        ]

        @functools.wraps(function)
        def command(**values: Any) -> None:
            file, texts = (values.pop(name, None) if name in shared else None for name in ("config", "snap"))
            given = {path: values.pop(name) for name, (path, _) in made.items()}
            given = {path: False if path in switched_off and value else value for path, value in given.items()}
            given |= {f"snap.{name}": value for name, value in snap_values(texts).items()}
            function(
                **{into: model(**_nested(given)) if file is None else changed(read_options(file, model), given)},
                **values,
            )

        generated = [
            *(
                _keyword(name, kind, is_needed=field_at(model, path).is_required())
                for name, (path, kind) in made.items()
            ),
            *(_keyword(name, kind) for name, kind in shared.items()),
        ]
        needed = [p for p in (*own, *generated) if p.default is p.empty]
        others = [p for p in (*generated, *own) if p.default is not p.empty]
        every = [p.replace(kind=p.KEYWORD_ONLY) for p in (*needed, *others)]
        command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in every}
        return command

    return decorate


def _keyword(name: str, kind: Any, *, is_needed: bool = False) -> inspect.Parameter:
    default = inspect.Parameter.empty if is_needed else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _nested(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return sections of the values that are not None, by the parts of their dotted names."""
    values: dict[str, Any] = {}
    for path, value in given.items():
        section, _, name = path.rpartition(".")
        if value is not None:
            (values.setdefault(section, {}) if section else values)[name] = value
    return values


def changed(base: Model, given: Mapping[str, Any]) -> Model:
    """Return options with the values that are not None set at their dotted names."""
    values = _nested(given)
    return base.replace(
        **{
            name: getattr(base, name).replace(**value) if isinstance(getattr(base, name), Options) else value
            for name, value in values.items()
        }
    )


def snap_values(texts: Sequence[str] | None) -> dict[str, str]:
    """Read texts NAME=VALUE as values of `SnapOptions`.

    Raises
    ------
    OptionError
        A text has no value, or there is no such option (the nearest is named).
    """
    values: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise OptionError(f"--snap {text!r}: write NAME=VALUE, such as memory=8G")
        values[name.strip()] = value
    unknown = values.keys() - SnapOptions.model_fields.keys()
    if unknown:
        SnapOptions(**{name: values[name] for name in unknown})  # raises, and names the nearest
    return values


def _flag(model: type[Options], path: str) -> str:
    """Flag of an option: what its field says, else its name without the unit."""
    extra = field_at(model, path).json_schema_extra
    if isinstance(extra, dict) and "flag" in extra:
        return str(extra["flag"])
    name = path.rpartition(".")[2]
    unit = next((unit for unit in UNITS if name.endswith(unit)), "")
    return "--" + name.removesuffix(unit).replace("_", "-")


def _name(model: type[Options], path: str) -> str:
    return _flag(model, path).removeprefix("--").replace("-", "_")


def _is_switch_off(model: type[Options], path: str) -> bool:
    """Return whether the flag of an option that holds by default switches it off."""
    return field_at(model, path).default is True


def _parameter(model: type[Options], path: str, is_argument: bool) -> Any:
    """Return the annotated type of the parameter of one option; None where it need not be given."""
    field = field_at(model, path)
    kind = _kind(field.annotation) if field.is_required() else _kind(field.annotation) | None
    text, default = help_of(model, path), None if field.is_required() else default_of(model, path)
    if _is_switch_off(model, path):
        text = f"Switch off: {text}"
    elif default and default != "False":
        text += f" (default {default})"
    if is_argument:
        return Annotated[kind, typer.Argument(help=text, show_default=False)]
    metavar = next((name for ending, name in UNITS.items() if path.endswith(ending)), None)
    return Annotated[kind, typer.Option(_flag(model, path), help=text, show_default=False, metavar=metavar)]


def _kind(annotation: Any) -> Any:
    """Return the type that typer reads for that of a field; what it cannot read stays text for the model."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, types.UnionType):
        return _kind(next(part for part in arguments if part is not types.NoneType))
    if origin is Literal:
        return type(arguments[0])
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return list[_kind(arguments[0])]  # type: ignore[misc]
        return annotation if set(arguments) == {float} else str
    return str if annotation is dt.date else annotation
