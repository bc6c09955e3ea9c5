"""The same maps in the layouts of the archives people use are the same cube."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import netcdf_file
from shapely.geometry import box

from insar_mining.activity import activity_table, annual_ndai, classify, ndai, open_stack, rgb_composite, stable_points
from insar_mining.activity.cube.containers import kind_of, layers_of
from insar_mining.errors import (
    AssumedCrsWarning,
    ClippedValuesWarning,
    MissingDataWarning,
    OptionError,
    PartialCoverageWarning,
    RasterError,
    SkippedInputWarning,
)
from insar_mining.options.maps import MapOptions

FloatArray = npt.NDArray[np.float32]
Write = Callable[[Path, list[str], FloatArray], None]

CRS = "EPSG:32629"
GRID = Affine(20, 0, 600_000, 0, -20, 3_500_000)
DAYS = np.datetime64("2021-01-05") + 12 * np.arange(7)
SHORT = [str(day).replace("-", "") for day in DAYS]
PAIRS = [f"{a}_{b}" for a, b in itertools.pairwise(SHORT)]


def maps(pairs: int = len(PAIRS), shape: tuple[int, int] = (12, 10)) -> FloatArray:
    """Stable ground with noise, a worked corner; in steps of 1/1020, so that bytes of 255 hold a quarter of them."""
    generator = np.random.default_rng(3)
    values = generator.uniform(0.85, 0.95, (pairs, *shape))
    values[:, :4, :4] = generator.uniform(0.2, 0.4, (pairs, 4, 4))
    return np.round(values * 255).astype(np.float32) / np.float32(255)


VALUES = maps()


def write(path: Path, values: npt.NDArray[np.generic], **profile: object) -> Path:
    """Write one raster of any format that GDAL writes."""
    data = values[None] if values.ndim == 2 else values
    path.parent.mkdir(parents=True, exist_ok=True)
    names = profile.pop("names", ())
    options = {"driver": "GTiff", "crs": CRS, "transform": GRID, "dtype": data.dtype, "count": data.shape[0]}
    options |= {"height": data.shape[1], "width": data.shape[2], **profile}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **options) as target:
            target.write(data)
            for number, name in enumerate(names, start=1):  # type: ignore[arg-type, var-annotated]
                target.set_band_description(number, name)
    return path


def hyp3_gamma(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """A folder per product, each with phase and elevation beside; every second one a cell larger on each side."""
    for number, (pair, layer) in enumerate(zip(pairs, values, strict=True)):
        first, second = pair.split("_")
        name = f"S1AA_{first}T171234_{second}T171235_VVP012_INT80_G_ueF_{number:04X}"
        grown = number % 2
        data = np.pad(layer, grown)
        place = GRID @ Affine.translation(-grown, -grown)
        write(folder / name / f"{name}_corr.tif", data, transform=place)
        write(folder / name / f"{name}_unw_phase.tif", data * 12 - 6, transform=place)
        write(folder / name / f"{name}_dem.tif", data * 1000, transform=place)


def hyp3_burst(folder: Path, pairs: list[str], values: FloatArray) -> None:
    for number, (pair, layer) in enumerate(zip(pairs, values, strict=True)):
        name = f"S1_136231_IW2_{pair}_VV_INT80_{number:04X}"
        write(folder / f"{name}_corr.tif", layer)
        write(folder / f"{name}_conncomp.tif", (layer > 0.5).astype(np.uint8))


def hyp3_multi_burst(folder: Path, pairs: list[str], values: FloatArray) -> None:
    for number, (pair, layer) in enumerate(zip(pairs, values, strict=True)):
        name = f"S1_044_000000s1n00-093117s2n01-093118s3n01_IW_{pair}_VV_INT80_{number:04X}"
        write(folder / name / f"{name}_corr.tif", layer)
        write(folder / name / f"{name}_wrapped_phase.tif", layer * 6 - 3)


def licsar(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """Bytes without a tag, a folder per pair."""
    for pair, layer in zip(pairs, values, strict=True):
        write(folder / pair / f"{pair}.geo.cc.tif", np.round(layer * 255).astype(np.uint8))
        write(folder / pair / f"{pair}.geo.unw.tif", layer * 12 - 6)


def eo_tools(folder: Path, pairs: list[str], values: FloatArray) -> None:
    for pair, layer in zip(pairs, values, strict=True):
        first, second = (f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in pair.split("_"))
        place = folder / f"S1_InSAR_{first}-171234__{second}-171235"
        write(place / "coh_vh.tif", layer / 2)
        write(place / "coh_vv.tif", layer)
        write(place / "ifg.tif", layer.astype(np.complex64), crs=None)


def isce(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """Two raw bands, amplitude and correlation, with a header of their own."""
    for pair, layer in zip(pairs, values, strict=True):
        place = folder / "merged" / "interferograms" / pair
        cube = np.stack([layer * 900, layer])
        write(place / "filt_topophase.cor", cube, driver="ENVI", interleave="line")


def snap_geotiff(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """Bands of one terrain-corrected stack, named as SNAP names them; the file's name is that of a product."""
    name = "S1A_IW_SLC__1SDV_20210105T235934_20210106T000001_036001_0437B2_1A2B_Stack_Coh_TC.tif"
    bands = [f"coh_IW1_VV_{_snap_day(pair[:8])}_{_snap_day(pair[9:])}" for pair in pairs]
    write(folder / name, values, names=bands)


def _snap_day(day: str) -> str:
    return np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}").item().strftime("%d%b%Y")


def beam_dimap(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """One product of SNAP with coherence and phase of every pair, big-endian."""
    root = ElementTree.Element("Dimap_Document")
    size = ElementTree.SubElement(root, "Raster_Dimensions")
    for tag, number in (("NCOLS", values.shape[2]), ("NROWS", values.shape[1]), ("NBANDS", 2 * len(pairs))):
        ElementTree.SubElement(size, tag).text = str(number)
    system = ElementTree.SubElement(root, "Coordinate_Reference_System")
    ElementTree.SubElement(system, "WKT").text = rasterio.crs.CRS.from_string(CRS).to_wkt()
    place = ElementTree.SubElement(root, "Geoposition")
    ElementTree.SubElement(place, "IMAGE_TO_MODEL_TRANSFORM").text = "20,0,0,-20,600000,3500000"
    access, interpretation = (
        ElementTree.SubElement(root, "Data_Access"),
        ElementTree.SubElement(root, "Image_Interpretation"),
    )
    (folder / "stack.data").mkdir(parents=True)
    layers = [("coh_IW1_VV", layer, pair) for pair, layer in zip(pairs, values, strict=True)]
    layers += [("Phase_ifg_IW1_VV", layer * 6 - 3, pair) for pair, layer in zip(pairs, values, strict=True)]
    for index, (kind, layer, pair) in enumerate(layers):
        name = f"{kind}_{_snap_day(pair[:8])}_{_snap_day(pair[9:])}"
        file = ElementTree.SubElement(access, "Data_File")
        ElementTree.SubElement(file, "DATA_FILE_PATH", href=f"stack.data/{name}.hdr")
        ElementTree.SubElement(file, "BAND_INDEX").text = str(index)
        band = ElementTree.SubElement(interpretation, "Spectral_Band_Info")
        for tag, text in (
            ("BAND_INDEX", str(index)),
            ("BAND_NAME", name),
            ("DATA_TYPE", "float32"),
            ("BAND_RASTER_WIDTH", str(layer.shape[1])),
            ("BAND_RASTER_HEIGHT", str(layer.shape[0])),
        ):
            ElementTree.SubElement(band, tag).text = text
        (folder / "stack.data" / f"{name}.img").write_bytes(layer.astype(">f4").tobytes())
        (folder / "stack.data" / f"{name}.hdr").write_text(
            f"ENVI\nsamples = {layer.shape[1]}\nlines = {layer.shape[0]}\nbands = 1\nheader offset = 0\n"
            f"data type = 4\ninterleave = bsq\nbyte order = 1\nband names = {{ {name} }}\n"
        )
    ElementTree.ElementTree(root).write(folder / "stack.dim")


def mintpy(folder: Path, pairs: list[str], values: FloatArray) -> None:
    folder.mkdir(parents=True)
    with h5py.File(folder / "geo_ifgramStack.h5", "w") as target:
        target["coherence"], target["unwrapPhase"] = values, values * 9
        target["date"] = np.array([pair.split("_") for pair in pairs], "S8")
        target["dropIfgram"] = np.ones(len(pairs), np.bool_)
        target.attrs.update(
            FILE_TYPE="ifgramStack", LENGTH=str(values.shape[1]), WIDTH=str(values.shape[2]), EPSG="32629",
            X_FIRST="600000", Y_FIRST="3500000", X_STEP="20", Y_STEP="-20", X_UNIT="meters",
        )  # fmt: skip


def centres(rows: int, cols: int) -> dict[str, tuple[str, npt.NDArray[np.float64], dict[str, str]]]:
    """Coordinates of the cells as the CF conventions have them."""
    y, x = 3_500_000 - 20 * (np.arange(rows) + 0.5), 600_000 + 20 * (np.arange(cols) + 0.5)
    return {
        "y": ("y", y, {"standard_name": "projection_y_coordinate"}),
        "x": ("x", x, {"standard_name": "projection_x_coordinate"}),
    }


def aria(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """GUNW products: groups of HDF5, the later date first in the name."""
    folder.mkdir(parents=True)
    for pair, layer in zip(pairs, values, strict=True):
        first, second = pair.split("_")
        data = xr.Dataset(
            {"coherence": (("y", "x"), layer, {"grid_mapping": "crs"}), "unwrappedPhase": (("y", "x"), layer * 9)},
            coords={
                **centres(*layer.shape),
                "crs": ((), 0, {"crs_wkt": rasterio.crs.CRS.from_string(CRS).to_wkt()}),
            },
        )  # fmt: skip
        path = folder / f"S1-GUNW-A-R-101-tops-{second}_{first}-171234-00115W_00034N-PP-ab07-v2_0_4.nc"
        data.to_netcdf(path, engine="h5netcdf", group="science/grids/data")


def gmtsar(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """Classic netCDF, south first, in folders named by year and day of the year counted from 0."""
    for pair, layer in zip(pairs, values, strict=True):
        days = [np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}") for day in pair.split("_")]
        name = "_".join(f"{day.item().year}{day.item().timetuple().tm_yday - 1:03d}" for day in days)
        (folder / "intf" / name).mkdir(parents=True)
        with netcdf_file(folder / "intf" / name / "corr_ll.grd", "w") as target:
            for axis, (_, numbers, attributes) in centres(*layer.shape).items():
                target.createDimension(axis, numbers.size)
                variable = target.createVariable(axis, "d", (axis,))
                variable[:] = numbers[::-1] if axis == "y" else numbers
                variable.standard_name = attributes["standard_name"]
            z = target.createVariable("z", "f", ("y", "x"))
            z[:] = layer[::-1]
            z.grid_mapping = "crs"
            target.createVariable("crs", "i", ()).spatial_ref = rasterio.crs.CRS.from_string(CRS).to_wkt()


def netcdf_stack(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """One variable (pair, y, x) with the dates of every pair, as xarray writes it."""
    folder.mkdir(parents=True)
    days = np.array([[np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}", "ns") for d in pair.split("_")] for pair in pairs])
    data = xr.Dataset(
        {"coherence": (("pair", "y", "x"), values, {"grid_mapping": "spatial_ref"})},
        coords={
            **centres(*values.shape[1:]),
            "reference_date": ("pair", days[:, 0]),
            "secondary_date": ("pair", days[:, 1]),
            "spatial_ref": ((), 0, {"crs_wkt": rasterio.crs.CRS.from_string(CRS).to_wkt()}),
        },
    )  # fmt: skip
    data.to_netcdf(folder / "stack.nc", engine="h5netcdf")


def south_up(folder: Path, pairs: list[str], values: FloatArray) -> None:
    for pair, layer in zip(pairs, values, strict=True):
        turned = Affine(20, 0, 600_000, 0, 20, 3_500_000 - 20 * layer.shape[0])
        write(folder / f"{pair}.tif", layer[::-1], transform=turned)


def compound(folder: Path, pairs: list[str], values: FloatArray) -> None:
    """Half of the rasters with heights in their CRS."""
    for number, (pair, layer) in enumerate(zip(pairs, values, strict=True)):
        write(folder / f"{pair}.tif", layer, crs="EPSG:32629+5773" if number % 2 else CRS)


def virtual(folder: Path, pairs: list[str], values: FloatArray) -> None:
    for pair, layer in zip(pairs, values, strict=True):
        write(folder / "parts" / f"part_{pair[:8]}.tif", layer)
        wkt = rasterio.crs.CRS.from_string(CRS).to_wkt().replace('"', "&quot;")
        (folder / f"{pair}.vrt").write_text(
            f'<VRTDataset rasterXSize="{layer.shape[1]}" rasterYSize="{layer.shape[0]}"><SRS>{wkt}</SRS>'
            "<GeoTransform>600000, 20, 0, 3500000, 0, -20</GeoTransform>"
            '<VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
            f'<SourceFilename relativeToVRT="1">parts/part_{pair[:8]}.tif</SourceFilename><SourceBand>1</SourceBand>'
            "</SimpleSource></VRTRasterBand></VRTDataset>"
        )


LAYOUTS: dict[str, Write] = {
    function.__name__: function
    for function in (
        hyp3_gamma, hyp3_burst, hyp3_multi_burst, licsar, eo_tools, isce, snap_geotiff, beam_dimap, mintpy, aria,
        gmtsar, netcdf_stack, south_up, compound, virtual,
    )
}  # fmt: skip


def opened(folder: Path, **options: object) -> xr.DataArray:
    """Open a stack; what is left out by name is of no concern here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedInputWarning)
        return open_stack(folder, reading=MapOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_cube(tmp_path: Path, layout: str) -> None:
    LAYOUTS[layout](tmp_path / "maps", PAIRS, VALUES)
    coh = opened(tmp_path / "maps")
    assert coh["pair"].values.tolist() == PAIRS
    assert set(coh["days"].values) == {12}
    assert coh.attrs["crs"] == CRS
    assert coh.attrs["transform"] == tuple(GRID)[:6]
    np.testing.assert_allclose(coh.values, VALUES, rtol=0, atol=2e-7)
    files = {str(name) for name in coh["source"].values}
    assert all((tmp_path / "maps" / name).is_file() for name in files)


def area_of(coh: xr.DataArray) -> float:
    """Active area of the first of three years by the published method."""
    stable = stable_points(coh)
    annual = annual_ndai(ndai(coh, stable))
    one = annual.isel(year=0, drop=True)
    years = xr.concat([one, one, one], dim=xr.IndexVariable("year", [2021, 2022, 2023]), coords="minimal")
    table = activity_table(classify(rgb_composite(years.assign_attrs(annual.attrs), (2021, 2022, 2023))))
    return float(table["area_m2"].iloc[0])


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_mixture_of_layouts_gives_the_same_pairs_and_area(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("mixture")
    chosen = data.draw(st.lists(st.sampled_from(sorted(LAYOUTS)), min_size=len(PAIRS), max_size=len(PAIRS)))
    order = data.draw(st.permutations(range(len(PAIRS))))
    for layout in sorted(set(chosen)):
        numbers = [number for number in order if chosen[number] == layout]
        LAYOUTS[layout](folder / layout, [PAIRS[number] for number in numbers], VALUES[numbers])
    coh = opened(folder)
    assert coh["pair"].values.tolist() == PAIRS
    np.testing.assert_allclose(coh.values, VALUES, rtol=0, atol=2e-7)
    assert area_of(coh) == 16 * 400


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_renaming_that_keeps_the_dates_gives_the_same_cube(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("names")
    word = st.text("abcxyzÅé #", max_size=6)
    for pair, layer in zip(PAIRS, VALUES, strict=True):
        first, second = (np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}").item() for d in pair.split("_"))
        style = data.draw(st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%d%b%Y", "%Y%m%dT053012", "%y%m%d"]))
        days = [first.strftime(style), second.strftime(style)]
        between = data.draw(st.sampled_from(["_", "-"] if style == "%y%m%d" else ["_", "-", "__", "_to_"]))
        name = between.join(days if data.draw(st.booleans()) else days[::-1])
        below = data.draw(st.sampled_from(["", "a/", "b c/d/"]))
        write(folder / below / f"{data.draw(word)}_{name}_{data.draw(word)}.tif", layer)
    coh = opened(folder)
    assert coh["pair"].values.tolist() == PAIRS
    np.testing.assert_array_equal(coh.values, VALUES)


# -- bands --------------------------------------------------------------------------------


def test_dates_of_bands_make_a_stack_whatever_the_file_is_called(tmp_path: Path) -> None:
    write(tmp_path / "coh_stack_20210105_20210318.tif", VALUES, names=PAIRS)
    np.testing.assert_array_equal(opened(tmp_path).values, VALUES)


def test_the_polarisation_is_chosen_not_the_first_band(tmp_path: Path) -> None:
    write(tmp_path / f"{PAIRS[0]}.tif", np.stack([VALUES[0] / 2, VALUES[0]]), names=["coh_VH", "coh_VV"])
    np.testing.assert_array_equal(opened(tmp_path).values[0], VALUES[0])
    np.testing.assert_array_equal(opened(tmp_path, pol="vh").values[0], VALUES[0] / 2)
    np.testing.assert_array_equal(opened(tmp_path, band="coh_VH").values[0], VALUES[0] / 2)
    np.testing.assert_array_equal(opened(tmp_path, band=1).values[0], VALUES[0] / 2)
    with pytest.raises(RasterError, match=r"1 coh_VH, 2 coh_VV"):
        opened(tmp_path, band=3)
    with pytest.raises(OptionError, match="pol"):
        MapOptions(pol="XX")  # type: ignore[arg-type]


def test_pairs_of_another_polarisation_are_named_and_not_mixed_in(tmp_path: Path) -> None:
    write(tmp_path / f"coh_VV_{PAIRS[0]}.tif", VALUES[0])
    write(tmp_path / f"coh_VH_{PAIRS[0]}.tif", VALUES[0] / 2)
    write(tmp_path / f"coh_VH_{PAIRS[1]}.tif", VALUES[1] / 2)
    with pytest.warns(SkippedInputWarning, match=f"coh_VH_{PAIRS[1]}.*polarisation VH"):
        coh = open_stack(tmp_path)
    assert coh["pair"].values.tolist() == PAIRS[:1]
    np.testing.assert_array_equal(coh.values[0], VALUES[0])


@pytest.mark.parametrize("names", [(), ("first", "second"), ("coh_a", "coh_b")])
def test_bands_that_say_nothing_are_listed(tmp_path: Path, names: tuple[str, ...]) -> None:
    write(tmp_path / f"{PAIRS[0]}.tif", VALUES[:2], names=names)
    with pytest.raises(RasterError, match="holds 2 bands"):
        opened(tmp_path)


def test_bands_of_this_package_are_told_by_their_names(tmp_path: Path) -> None:
    bands = ["coherence", "unbiased", "standard_error"]
    write(tmp_path / f"{PAIRS[0]}.tif", np.stack([VALUES[0], VALUES[0] / 2, VALUES[0] / 9]), names=bands)
    np.testing.assert_array_equal(opened(tmp_path).values[0], VALUES[0])
    assert [layer.label for layer in layers_of(tmp_path / f"{PAIRS[0]}.tif")] == bands


def test_the_names_that_snap_writes_into_its_own_tag_are_read(tmp_path: Path) -> None:
    import tifffile

    pairs = "".join(
        f"<Spectral_Band_Info><BAND_NAME>coh_IW1_VV_{_snap_day(p[:8])}_{_snap_day(p[9:])}</BAND_NAME></Spectral_Band_Info>"
        for p in PAIRS[:2]
    )
    header = f"<Dimap_Document><Image_Interpretation>{pairs}</Image_Interpretation></Dimap_Document>"
    tags = [
        (33550, "d", 3, (20.0, 20.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 600_000.0, 3_500_000.0, 0.0), True),
        (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32629), True),
        (65000, "s", 0, header, True),
    ]
    tifffile.imwrite(
        tmp_path / "stack_Coh_TC.tif", VALUES[:2], planarconfig="separate", photometric="minisblack", extratags=tags
    )
    coh = opened(tmp_path)
    assert coh["pair"].values.tolist() == PAIRS[:2]
    np.testing.assert_array_equal(coh.values, VALUES[:2])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("20210105_20210117.geo.cc", "coherence"),
        ("20210105_20210117.geo.diff_pha", "other"),
        ("corr_ll", "coherence"),
        ("phasefilt_ll", "other"),
        ("filt_fine.cor", "coherence"),
        ("coh_IW1_VV_05Jan2021_17Jan2021", "coherence"),
        ("coherence_mask", "other"),
        ("S1_136231_IW2_20200604_20200616_VV_INT80_10C1_unw_phase", "other"),
        ("mine", "unknown"),
    ],
)
def test_what_a_name_calls_a_map(name: str, kind: str) -> None:
    assert kind_of(name) == kind


# -- files --------------------------------------------------------------------------------


def test_a_pattern_chooses_files(tmp_path: Path) -> None:
    write(tmp_path / f"{PAIRS[0]}_fine_coh.tif", VALUES[0])
    write(tmp_path / f"{PAIRS[0]}_filt_coh.tif", VALUES[1])
    with pytest.raises(RasterError, match="same pair more than once"):
        opened(tmp_path)
    np.testing.assert_array_equal(opened(tmp_path, pattern="*_filt_*").values[0], VALUES[1])
    with pytest.raises(RasterError, match="matches"):
        opened(tmp_path, pattern="*.nc")


def test_results_of_this_package_are_not_read_as_inputs(tmp_path: Path) -> None:
    write(tmp_path / f"{PAIRS[0]}.tif", VALUES[0])
    write(tmp_path / "mine-result" / "coherence" / f"{PAIRS[0]}.tif", VALUES[0])
    (tmp_path / "mine-result" / "collection.json").write_text('{"id": "insar-mining-pit"}')
    with pytest.warns(SkippedInputWarning, match="is a result of this package"):
        assert open_stack(tmp_path).sizes["pair"] == 1


def test_virtual_rasters_read_files_of_this_machine_only(tmp_path: Path) -> None:
    virtual(tmp_path / "maps", PAIRS[:1], VALUES[:1])
    path = tmp_path / "maps" / f"{PAIRS[0]}.vrt"
    text = path.read_text()
    for source in ("/vsicurl/http://localhost/a.tif", "http://localhost/a.tif", "/vsimem/a.tif", "parts/absent.tif"):
        path.write_text(text.replace(f"parts/part_{PAIRS[0][:8]}.tif", source))
        with pytest.raises(RasterError, match="which is no file"):
            opened(tmp_path / "maps")
    # neither does one in the clothes of a GeoTIFF
    path.unlink()
    (tmp_path / "maps" / f"{PAIRS[0]}.tif").write_text(text)
    with pytest.raises(RasterError, match="no coherence raster with two dates"):
        opened(tmp_path / "maps")


# -- numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "kind"), [(255, np.uint8), (100, np.uint8), (10_000, np.int16), (100, np.float32)])
def test_scaled_numbers_need_their_scale(tmp_path: Path, scale: int, kind: type[np.generic]) -> None:
    whole = np.round(VALUES * scale)
    for pair, layer in zip(PAIRS, whole, strict=True):
        write(tmp_path / f"{pair}.tif", layer.astype(kind))
    with pytest.raises(RasterError, match="--scale"):
        opened(tmp_path)
    np.testing.assert_allclose(opened(tmp_path, scale=scale).values, whole / scale, rtol=1e-6)
    if scale == 100:
        # percent read as bytes would make all ground active
        with pytest.raises(RasterError, match="largest coherence of all maps"):
            opened(tmp_path, scale=255)


def test_a_scale_leaves_alone_what_is_scaled_already(tmp_path: Path) -> None:
    write(tmp_path / f"{PAIRS[0]}.tif", np.round(VALUES[0] * 255).astype(np.uint8))
    write(tmp_path / f"{PAIRS[1]}.tif", VALUES[1])
    np.testing.assert_allclose(opened(tmp_path, scale=255).values, VALUES[:2], rtol=1e-6)


def test_a_few_values_just_above_one_are_clipped_and_counted(tmp_path: Path) -> None:
    values = VALUES[0].copy()
    values[11, 9] = 1.0003
    write(tmp_path / f"{PAIRS[0]}.tif", values)
    with pytest.warns(ClippedValuesWarning, match="1 of 120"):
        coh = open_stack(tmp_path)
    assert float(coh.max()) == 1
    assert coh.attrs["clipped_count"] == 1
    write(tmp_path / f"{PAIRS[0]}.tif", np.where(VALUES[0] > 0.9, 1.005, VALUES[0]).astype(np.float32))
    with pytest.raises(RasterError, match="lie above 1"):
        open_stack(tmp_path)
    write(tmp_path / f"{PAIRS[0]}.tif", values * np.float32(1.1))
    with pytest.raises(RasterError, match=f"{PAIRS[0]}.tif: values from"):
        open_stack(tmp_path)


# -- extents ------------------------------------------------------------------------------

MINE_CELLS = (600_040, 3_499_860, 600_160, 3_499_960)


def test_rasters_that_end_within_or_before_the_mine_are_named(tmp_path: Path) -> None:
    from pyproj import Transformer
    from shapely import transform

    to_lonlat = Transformer.from_crs(32629, 4326, always_xy=True)
    mine = transform(
        box(*MINE_CELLS).segmentize(20), lambda xy: np.column_stack(to_lonlat.transform(xy[:, 0], xy[:, 1]))
    )
    for pair, layer in zip(PAIRS, VALUES, strict=True):
        write(tmp_path / f"{pair}.tif", layer)
    whole = open_stack(tmp_path, mine)
    write(tmp_path / f"{PAIRS[1]}.tif", VALUES[1][:, :5])
    write(tmp_path / f"{PAIRS[2]}.tif", VALUES[2], transform=GRID @ Affine.translation(500, 0))
    with (
        pytest.warns(SkippedInputWarning, match=f"{PAIRS[2]}.*does not reach the mine"),
        pytest.warns(PartialCoverageWarning, match=f"1 of 5 rasters hold only a part of the mine.*{PAIRS[1]}"),
    ):
        part = open_stack(tmp_path, mine)
    np.testing.assert_array_equal(part.values[[0, 2, 3, 4]], whole.values[[0, 3, 4, 5]])
    held = part.x.values < 600_100
    np.testing.assert_array_equal(part.values[1][:, held], whole.values[1][:, held])
    assert np.isnan(part.values[1][:, ~held]).all()
    assert np.isfinite(whole.values[1][:, ~held]).any()


def test_grids_of_gmt_without_a_crs_are_longitude_and_latitude(tmp_path: Path) -> None:
    folder = tmp_path / "2021004_2021016"
    folder.mkdir()
    with netcdf_file(folder / "corr_ll.grd", "w") as target:
        for axis, first, count, unit in (("lat", 31.8, 12, "degrees_north"), ("lon", -8.8, 10, "degrees_east")):
            target.createDimension(axis, count)
            variable = target.createVariable(axis, "d", (axis,))
            variable[:] = first + 2e-4 * np.arange(count)
            variable.units = unit
        target.createVariable("z", "f", ("lat", "lon"))[:] = VALUES[0][::-1]
    with pytest.warns(AssumedCrsWarning, match="taken as WGS 84"):
        coh = opened(tmp_path)
    assert coh["pair"].values.tolist() == PAIRS[:1]
    assert coh.attrs["crs"] == "EPSG:4326"
    assert float(coh.y[0]) == pytest.approx(31.8 + 11 * 2e-4)
    np.testing.assert_array_equal(coh.values[0], VALUES[0])


def test_a_crs_without_a_place_is_no_map(tmp_path: Path) -> None:
    write(tmp_path / f"{PAIRS[0]}.tif", VALUES[0], transform=Affine.identity())
    with pytest.raises(RasterError, match="no place"):
        opened(tmp_path)


def test_longitudes_from_0_to_360_are_brought_to_the_usual(tmp_path: Path) -> None:
    grid = Affine(2e-4, 0, 351.2, 0, -2e-4, 31.8)
    write(tmp_path / f"{PAIRS[0]}.tif", VALUES[0], crs="EPSG:4326", transform=grid)
    assert float(opened(tmp_path).x[0]) == pytest.approx(-8.8 + 1e-4)


# -- missing data -------------------------------------------------------------------------


def worked(share: float) -> FloatArray:
    """Seven-look coherence of stable ground with a patch that every second pair works, (pair, y, x)."""
    generator = np.random.default_rng(5)
    true = np.full((6, 40, 40), 0.9)
    side = int(40 * share)
    true[::2, :side, :side] = 0.05
    first, other = generator.standard_normal((2, *true.shape, 7, 2)) @ np.array([1, 1j])
    second = true[..., None] * first + np.sqrt(1 - true[..., None] ** 2) * other
    cross = np.abs((first * second.conj()).sum(-1))
    return np.asarray(cross / np.sqrt((abs(first) ** 2).sum(-1) * (abs(second) ** 2).sum(-1)), np.float32)


def stack_of(folder: Path, values: FloatArray) -> Path:
    for pair, layer in zip(PAIRS, values, strict=True):
        write(folder / f"{pair}.tif", layer)
    return folder


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_maps_cut_below_a_threshold_are_refused(tmp_path: Path, share: float) -> None:
    values = worked(share)
    with pytest.raises(RasterError, match="lack"):
        opened(stack_of(tmp_path / "zero", np.where(values < 0.4, 0, values).astype(np.float32)))
    with pytest.raises(RasterError, match="lack"):
        opened(stack_of(tmp_path / "nan", np.where(values < 0.4, np.nan, values).astype(np.float32)))
    assert opened(stack_of(tmp_path / "whole", values)).attrs["zero_count"] == 0


def test_maps_masked_where_work_is_are_refused_though_low_values_stay(tmp_path: Path) -> None:
    values = worked(0.5)
    values[::2, 3:17, 3:17] = np.nan
    with pytest.raises(RasterError, match="beside them coherence is"):
        opened(stack_of(tmp_path, values))


def test_maps_rounded_to_whole_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match="rounded to whole numbers"):
        opened(stack_of(tmp_path, np.round(worked(0.5))))


def test_data_that_lack_anywhere_are_no_fault(tmp_path: Path) -> None:
    generator = np.random.default_rng(8)
    values = worked(0.5)
    values[generator.random(values.shape) < 0.03] = np.nan
    values[1, :, :9] = np.nan
    values[:, 30:, 30:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error", MissingDataWarning)
        assert int(np.isnan(opened(stack_of(tmp_path, values)).values).sum()) > 0


# -- spans and tracks ---------------------------------------------------------------------


def test_a_series_that_begins_anew_every_year_is_one_track(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for year in (2021, 2022):
        write(tmp_path / f"{year}0105_{year}0117.tif", VALUES[0])
        write(tmp_path / f"{year}0117_{year}0129.tif", VALUES[1])
    assert opened(tmp_path)["year"].values.tolist() == [2021, 2021, 2022, 2022]
    assert "are they of one track" in caplog.text


def test_spans_that_no_repeat_pass_has_are_left_out_or_refused(tmp_path: Path) -> None:
    for pair, layer in zip(PAIRS, VALUES, strict=True):
        write(tmp_path / f"{pair}.tif", layer)
    write(tmp_path / "20210105_20210106.tif", VALUES[0])
    with pytest.warns(SkippedInputWarning, match=r"20210105_20210106.*span of 1 days"):
        assert open_stack(tmp_path)["pair"].values.tolist() == PAIRS
    assert opened(tmp_path, repeat_days=1).sizes["pair"] == len(PAIRS) + 1
    for number in range(1, 5):
        write(tmp_path / f"{SHORT[number]}_{int(SHORT[number]) + 1}.tif", VALUES[0])
    with pytest.raises(RasterError, match=r"5 of 11 pairs have a span that no repeat pass"):
        opened(tmp_path)


def test_pairs_far_longer_than_the_others_are_left_out(tmp_path: Path) -> None:
    for pair, layer in zip(PAIRS, VALUES, strict=True):
        write(tmp_path / f"{pair}.tif", layer)
    write(tmp_path / "20200112_20210118.tif", VALUES[0])
    write(tmp_path / "20210105_20210318.tif", VALUES[0])
    with pytest.warns(SkippedInputWarning, match=r"20200112_20210118.*372 days"):
        assert open_stack(tmp_path)["days"].values.tolist().count(12) == len(PAIRS)
    assert 372 in opened(tmp_path, max_span_days=400, repeat_days=1)["days"].values
    assert set(opened(tmp_path, max_span_days=12)["days"].values) == {12}


def test_images_about_midnight_have_their_true_span(tmp_path: Path) -> None:
    write(tmp_path / "S1AA_20210105T235959_20210118T000001_VVP012_INT80_G_ueF_0000_corr.tif", VALUES[0])
    write(tmp_path / "S1AA_20210118T000001_20210130T000002_VVP012_INT80_G_ueF_0001_corr.tif", VALUES[1])
    coh = opened(tmp_path)
    assert coh["days"].values.tolist() == [12, 12]
    assert coh["pair"].values.tolist() == ["20210105_20210118", "20210118_20210130"]


@pytest.mark.parametrize(
    ("other", "day"),
    [
        ("20210110_20210122", "2021-01-10"),
        ("S1AA_20210111T053012_20210123T053011_VVP012_INT80_G_ueF_0001", "2021-01-11"),
        ("106D_05248_131313_20210111_20210123", "2021-01-11"),
    ],
)
def test_two_tracks_are_named_and_one_is_chosen_by_a_date(tmp_path: Path, other: str, day: str) -> None:
    first = "S1AA_20210105T171234_20210117T171235_VVP012_INT80_G_ueF_0000"
    if "_05248_" in other:
        first = "033A_05248_131313_20210105_20210117"
    write(tmp_path / f"{first}.tif", VALUES[0])
    write(tmp_path / f"{other}.tif", VALUES[1])
    with pytest.raises(RasterError, match="of 2 tracks"):
        opened(tmp_path)
    np.testing.assert_array_equal(opened(tmp_path, track="2021-01-17").values, VALUES[:1])
    np.testing.assert_array_equal(opened(tmp_path, track=day).values, VALUES[1:2])
    with pytest.raises(RasterError, match="no pair has this date"):
        opened(tmp_path, track="2021-03-01")
