"""One pit as a YAML file: what it moved, burnt, blasted, bought and released in a year."""

from __future__ import annotations

import datetime as dt
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from insar_mining.doors import parse_yaml
from insar_mining.emissions.units import amount
from insar_mining.errors import EmissionsError

T = TypeVar("T", bound=BaseModel)

PROCESSES = (
    *("drilling", "blasting", "shovelling", "truck transport", "belt transport", "crushing", "processing"),
    *("auxiliary", "tailings", "land carbon"),
)
Process = Literal[
    "drilling",
    "blasting",
    "shovelling",
    "truck transport",
    "belt transport",
    "crushing",
    "processing",
    "auxiliary",
    "tailings",
    "land carbon",
]


def _in(unit: str) -> Any:
    return BeforeValidator(partial(_amount, unit=unit))


def _amount(value: object, unit: str) -> object:
    if value is None:
        return None
    try:
        return amount(value, unit)
    except EmissionsError as error:
        raise ValueError(str(error)) from None


def _not_negative(text: str) -> str:
    if text.lstrip().startswith("-"):
        raise ValueError("must not be negative")
    return text


SignedTonnes = Annotated[float, _in("t")]  # of avoided rows and of land that takes up
Tonnes = Annotated[float, _in("t"), Field(ge=0)]
Litres = Annotated[float, _in("L"), Field(ge=0)]
KilowattHours = Annotated[float, _in("kWh"), Field(ge=0)]
Positive = Annotated[str, AfterValidator(_not_negative)]
Share = Annotated[float, _in(""), Field(ge=0, le=1)]


class Model(BaseModel):
    """Refuse unknown keys (base of the tables of an account)."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Factor(Model):
    """Hold a factor with its source.

    Attributes
    ----------
    value : str
        With its unit, such as ``2.556 kg/L``.
    region : str
        ISO 3166 code, with a state where there is one.
    valid_from, valid_to : date
        Of its edition.
    """

    value: str
    source: str = ""
    edition: str = ""
    region: str = ""
    valid_from: dt.date | None = None
    valid_to: dt.date | None = None


class Work(Model):
    """Hold the work of a machine: amount times energy per amount; or its emissions as they are known."""

    process: Process
    name: str
    equipment: str = ""
    work: Positive = ""
    use: Positive = ""
    carrier: Literal["diesel", "electricity", ""] = ""
    altitude_factor: float = Field(1.0, gt=0)
    emissions: SignedTonnes | None = None
    avoided: bool = False
    source: str = ""


class Fuel(Model):
    """Hold a fuel by stock balance, or metered."""

    fuel: str
    use: Literal["mobile", "stationary"]
    type: str = ""
    opening: Litres = 0.0
    purchases: Litres | None = None
    closing: Litres = 0.0
    metered: Litres | None = None
    generator_output: KilowattHours | None = None
    factor: Factor
    upstream: Share | None = None
    process: Process = "auxiliary"

    @property
    def litres(self) -> float:
        """What was burnt: metered before opening + purchases - closing."""
        if self.metered is not None:
            return self.metered
        return self.opening + (self.purchases or 0.0) - self.closing


class Explosive(Model):
    """Hold an explosive by type; detonation is Scope 1, manufacture Scope 3 category 1."""

    type: str = ""
    amount: Tonnes
    factor: Factor | None = None
    manufacture: Factor | None = None


class Electricity(Model):
    """Hold electricity of a state or grid; of a process, or of all together."""

    region: str
    amount: KilowattHours
    factor: Factor
    process: Process = "processing"
    losses: Factor | None = None


class Methane(Model):
    """Hold methane released and captured."""

    gross: Tonnes
    captured: Tonnes = 0.0
    process: Process = "auxiliary"
    source: str = ""


class Scope3(Model):
    """Hold an activity up or down the chain."""

    category: int = Field(ge=1, le=15)
    name: str
    amount: Positive
    factor: Factor


class Land(Model):
    """Hold the loss of carbon of disturbed ground, t CO2 a year, or its zones."""

    emissions: SignedTonnes
    source: str = ""


class MineAccount(Model):
    """Hold the account of one mine in one year."""

    name: str
    country: str
    state: str = ""
    type: Literal["open pit", "underground", "both"] = "open pit"
    commodity: str = ""
    start: dt.date
    end: dt.date
    blasting: bool = True
    gwp: Literal["AR4", "AR5", "AR6"] = "AR5"
    ore: Tonnes | None = None
    waste: Tonnes | None = None
    metal: Tonnes | None = None
    revenue: float | None = Field(None, gt=0)
    altitude_factors: dict[Process, Annotated[float, Field(gt=0)]] = {}
    factors: dict[str, Factor] = {}
    work: tuple[Work, ...] = ()
    fuels: tuple[Fuel, ...] = ()
    explosives: tuple[Explosive, ...] = ()
    electricity: tuple[Electricity, ...] = ()
    methane: Methane | None = None
    scope3: tuple[Scope3, ...] = ()
    land: Land | None = None


def read_mine(path: Path | str) -> MineAccount:
    """Read the account of a mine.

    Raises
    ------
    EmissionsError
        The file is no YAML, or a key or value is wrong; its place is named.
    """
    return parsed(path, MineAccount)


def parsed(path: Path | str, model: type[T]) -> T:
    """Read a YAML file as a model; every fault is named with its place."""
    path = Path(path)
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EmissionsError(f"{path}: no YAML in UTF-8 ({' '.join(str(error).split())}). Correct it") from error
    except OSError as error:
        raise EmissionsError(f"{path}: cannot be read ({error.strerror}). Check the name") from error
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, d['loc'])) or 'file'}: {d['msg'].removeprefix('Value error, ')} ({d['input']!r:.60})"
            for d in error.errors()
        )
        raise EmissionsError(f"{path.name}: {faults}. Compare with: insar-mining inventory template") from None


def template() -> str:
    """Return a commented account of an example pit."""
    return (files("insar_mining.emissions") / "tables" / "mine.yaml").read_text(encoding="utf-8")
