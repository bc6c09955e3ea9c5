"""The report of an inventory, or of a mine's pathway: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from insar_mining import __version__
from insar_mining.emissions.inventory import top_emitters
from insar_mining.emissions.process import account, summary
from insar_mining.report import plots_inventory as plots
from insar_mining.report.images import Picture, as_svg
from insar_mining.report.pages import write_page

if TYPE_CHECKING:
    from insar_mining.emissions.mixed import OreModel
    from insar_mining.emissions.pit import MineAccount

MOST_ROWS = 25


@dataclass(frozen=True)
class Section:
    """Hold a part of the page: text, and a plot or a table."""

    title: str
    text: str
    picture: Picture | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    texts: Sequence[bool] = ()  # columns that are not numbers


def write_inventory_report(path: Path | str, tables: dict[str, pd.DataFrame], model: OreModel | None = None) -> Path:
    """Write the report of an inventory.

    Parameters
    ----------
    path : path
    tables : dict of DataFrame
        Of an inventory: assets, factors, countries, world, findings.
    model : OreModel, optional
        Its band is drawn beside reported ore.

    Returns
    -------
    Path
    """
    assets, world = tables["assets"], tables["world"]
    year = int(assets["year"].max())
    newest = world[world["year"] == year].iloc[0]
    if np.isfinite(newest["co2_t"]):
        lead = (
            f"{newest['co2_t']:,.0f} t CO2 in {year} from {newest['n_modelled']:.0f} of {newest['n_assets']:.0f} assets"
        )
        if np.isfinite(newest["co2_low_t"]):
            lead += f" (90 %: {newest['co2_low_t']:,.0f} to {newest['co2_high_t']:,.0f} t)"
        if newest["n_without_sd"]:
            lead += f"; the error of {newest['n_without_sd']:.0f} assets is not known"
    else:
        lead = f"No asset of {year} has emissions that are modelled"
    sections = [
        _plot(
            "Emissions by year", _breaks(assets), plots.plot_emissions(assets, world), "Emissions by year and source"
        ),
        *_measured(assets, model),
        _plot(
            f"Countries in {year}",
            "Sums of assets, with the share of the known assets that is modelled. They are not national totals.",
            plots.plot_countries(tables["countries"], year),
            "Emissions of countries",
        ),
        _table("The assets that emit most", "With the share of all emissions of the year.", _top(assets, year)),
        _table(
            "Where the numbers came from",
            "By the source of the activity and the level of the factor.",
            _methods(assets),
        ),
        _table("Factors in use", "Each with its level, edition and source.", _factors(tables["factors"])),
        _table("Findings", "What is wrong, doubtful, or worth knowing in the inputs.", tables["findings"]),
    ]
    return _write(
        path, "Inventory of mines", f"Ore and emissions, {int(assets['year'].min())} to {year}", lead + ".", sections
    )


def _breaks(assets: pd.DataFrame) -> str:
    years = plots.method_breaks(assets)
    text = "Bars by the source of the activity, with the 90 % interval of the sum."
    if years:
        text += f" Dashed: the method changes in {', '.join(map(str, years))}; do not read a trend across it."
    return text


def _measured(assets: pd.DataFrame, model: OreModel | None) -> list[Section]:
    """Return the sections about measured areas, if there are any."""
    if not (assets["area_m2"] > 0).any():
        return []
    band = None
    text = "Reported ore and measured area."
    if model is not None:
        area = np.geomspace(assets.loc[assets["area_m2"] > 0, "area_m2"].min(), assets["area_m2"].max(), 60)
        mineral, method = (str(assets[name].mode().iloc[0]) for name in ("mineral", "operation_type"))
        unseen = {"asset_id": "unseen", "area_m2": area, "mineral": mineral, "operation_type": method}
        band = model.predict(pd.DataFrame(unseen))
        text += f" The band holds 90 % of unseen mines of {mineral}, {method or 'any method'}, the most frequent kind."
        band = band.assign(area_m2=area) if band["ore_t"].notna().all() else None
    return [
        _plot("Ore and active area", text, plots.plot_ore_area(assets, band), "Reported ore against active area"),
        _plot(
            "Claimed and measured activity",
            "Ore that is claimed beside the area that was measured. Crosses contradict.",
            plots.plot_claims(assets),
            "Claimed ore against measured area",
        ),
    ]


def _methods(assets: pd.DataFrame) -> pd.DataFrame:
    groups = assets.groupby(["activity_source", "factor_level"], sort=False)
    table = groups.agg(rows=("co2_t", "size"), co2_t=("co2_t", lambda c: c.sum(min_count=1))).reset_index()
    return table.sort_values("co2_t", ascending=False)


def _factors(factors: pd.DataFrame) -> pd.DataFrame:
    chosen = factors[["factor_id", "level", "value", "unit", "sd", "n", "edition", "source"]]
    return chosen.sort_values("level", kind="stable", key=lambda c: c == "asset")


def write_pathway_report(path: Path | str, mine: MineAccount, pathway: pd.DataFrame, targets: pd.DataFrame) -> Path:
    """Write the report of a mine's account and its pathway."""
    last = pathway.iloc[-1]
    lead = f"{last['emissions_t']:,.0f} t CO2e in {last['year']:.0f} with all measures, "
    lead += f"{last['baseline_t']:,.0f} t without."
    sections = [
        _plot(
            "Processes",
            "Scope 1 and 2 of the year of the account; avoided emissions go down.",
            plots.plot_waterfall(summary(account(mine))),
            "Waterfall of processes",
        ),
        _plot(
            "Pathway",
            "What each measure takes away, in the order in which they act.",
            plots.plot_wedges(pathway),
            "Wedges of measures",
        ),
        _table("Year by year", "Tonnes CO2e.", pathway.astype({"year": str})),
        _table("Targets", "On a straight line from the base year.", targets.astype({"year": str, "target_year": str})),
    ]
    return _write(path, mine.name, "Processes and pathway of a mine", lead, sections)


def _top(assets: pd.DataFrame, year: int) -> pd.DataFrame:
    """Return the assets that emit most, shares in per cent."""
    table = top_emitters(assets, year).drop(columns="asset_id")
    shares = {"share": "share, %", "share_so_far": "so far, %"}
    return table.assign(**{name: (100 * table[name]).map("{:.1f}".format).astype(float) for name in shares}).rename(
        columns=shares
    )


def _plot(title: str, text: str, ax: Axes, alt: str) -> Section:
    figure = ax.figure
    return Section(title, text, as_svg(figure, alt))  # type: ignore[arg-type]


def _table(title: str, text: str, table: pd.DataFrame) -> Section:
    if len(table) > MOST_ROWS:
        text += f" The first {MOST_ROWS} of {len(table)}."
    rows = [[_cell(cell) for cell in row] for row in table.head(MOST_ROWS).itertuples(index=False, name=None)]
    texts = [not pd.api.types.is_numeric_dtype(dtype) for dtype in table.dtypes]
    return Section(title, text if rows else f"{text} None.", None, [str(name) for name in table.columns], rows, texts)


def _cell(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _write(path: Path | str, title: str, kicker: str, lead: str, sections: Sequence[Section]) -> Path:
    values = {"title": title, "kicker": kicker, "lead": lead, "sections": sections, "version": __version__}
    return write_page(path, "inventory.html.j2", **values)
