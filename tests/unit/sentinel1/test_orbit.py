"""Orbit arcs and EOF files against vectors that the arcs have not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_mining.errors import OrbitError, OrbitWarning
from insar_mining.sentinel1.annotation import SubSwath
from insar_mining.sentinel1.orbit import Orbit, read_orbit_file, without_leap_second

START_S, STOP_S = 28161.0, 28188.0  # the Azores acquisition, seconds of 2022-09-18


@pytest.fixture(scope="session")
def day(azores_sub_swath: SubSwath) -> np.datetime64:
    return azores_sub_swath.epoch


@pytest.fixture(scope="session")
def resorb(azores_orbit_file: Path, day: np.datetime64) -> Orbit:
    return read_orbit_file(azores_orbit_file, epoch=day, start_s=START_S, stop_s=STOP_S, platform="S1A")


@pytest.fixture(scope="session")
def three_hours(azores_orbit_file: Path, day: np.datetime64) -> Orbit:
    return read_orbit_file(azores_orbit_file, epoch=day, start_s=20_100.0, stop_s=31_600.0)


def without(orbit: Orbit, gone: list[int]) -> Orbit:
    keep = np.delete(np.arange(orbit.time_s.size), gone)
    return replace(
        orbit, time_s=orbit.time_s[keep], position_m=orbit.position_m[keep], velocity_m_s=orbit.velocity_m_s[keep]
    )


def test_the_arc_predicts_vectors_that_were_left_out(three_hours: Orbit) -> None:
    """Three neighbours taken out at many places along a whole revolution: found again to 2 mm."""
    position, velocity = [], []
    for middle in range(30, three_hours.time_s.size - 30, 29):
        gone = [middle - 1, middle, middle + 1]
        arc = without(three_hours, gone).arc(three_hours.time_s[middle] - 14, three_hours.time_s[middle] + 14)
        position.append(arc.position_m(three_hours.time_s[gone]) - three_hours.position_m[gone])
        velocity.append(arc.velocity_m_s(three_hours.time_s[gone]) - three_hours.velocity_m_s[gone])
    assert len(position) > 30
    assert np.linalg.norm(position, axis=-1).max() < 2e-3
    assert np.linalg.norm(velocity, axis=-1).max() < 1e-4


def test_orbit_file_and_annotation_give_the_same_arc(resorb: Orbit, azores_sub_swath: SubSwath) -> None:
    """The annotation's vectors are predicted ones: a few centimetres off, far below a resolution cell."""
    time = np.linspace(START_S, STOP_S, 40)
    one, other = (orbit.arc(START_S, STOP_S) for orbit in (resorb, azores_sub_swath.orbit))
    distance = np.linalg.norm(one.position_m(time) - other.position_m(time), axis=1)
    assert 0 < distance.max() < 0.05
    assert np.linalg.norm(one.velocity_m_s(time) - other.velocity_m_s(time), axis=1).max() < 1e-3


def test_clean_vectors_fit_to_millimetres(
    resorb: Orbit, azores_sub_swath: SubSwath, morocco_sub_swath: Callable[..., SubSwath]
) -> None:
    assert resorb.arc(START_S, STOP_S).misfit_m < 1e-3
    for swath in (azores_sub_swath, morocco_sub_swath("20230904", "IW1"), morocco_sub_swath("20230916", "IW3")):
        start = swath.bursts[0].azimuth_time_s
        assert swath.orbit.arc(start, start + 27).misfit_m < 0.02


def test_velocity_is_the_slope_of_position(resorb: Orbit) -> None:
    arc = resorb.arc(START_S, STOP_S)
    time, step = np.linspace(START_S, STOP_S, 30), 0.01
    slope = (arc.position_m(time + step) - arc.position_m(time - step)) / (2 * step)
    np.testing.assert_allclose(arc.velocity_m_s(time), slope, atol=2e-5, rtol=0)


def test_times_of_any_shape(resorb: Orbit) -> None:
    arc = resorb.arc(START_S, STOP_S)
    assert arc.position_m(START_S).shape == (3,)
    assert arc.velocity_m_s(np.full((2, 5), START_S)).shape == (2, 5, 3)
    assert arc.position_m(np.empty(0)).shape == (0, 3)
    np.testing.assert_array_equal(arc.position_m([START_S, STOP_S])[0], arc.position_m(START_S))


def test_every_vector_of_the_file_near_the_scene_is_read(resorb: Orbit, azores_orbit_file: Path) -> None:
    """Against the file's text, cut by hand."""
    blocks = azores_orbit_file.read_text().split("<OSV>")[1:]
    assert len(blocks) == 1186

    def field(block: str, name: str) -> str:
        return block.split(f"<{name}")[1].split(">", 1)[1].split("<", 1)[0]

    moments = np.array([field(b, "UTC").removeprefix("UTC=") for b in blocks], dtype="datetime64[us]")
    seconds = (moments - moments[0].astype("datetime64[D]")) / np.timedelta64(1, "s")
    near = np.flatnonzero((seconds >= START_S - 70) & (seconds <= STOP_S + 70))
    np.testing.assert_allclose(resorb.time_s, seconds[near], atol=1e-7)
    np.testing.assert_array_equal(resorb.position_m, [[float(field(blocks[i], a)) for a in "XYZ"] for i in near])
    np.testing.assert_array_equal(
        resorb.velocity_m_s, [[float(field(blocks[i], f"V{a}")) for a in "XYZ"] for i in near]
    )
    assert resorb.source == azores_orbit_file.name


@pytest.mark.parametrize("letter", "ABCD")
def test_any_platform_letter(letter: str, azores_orbit_file: Path, tmp_path: Path, day: np.datetime64) -> None:
    """A precise file differs from a restituted one in its name and type only."""
    text = azores_orbit_file.read_text().replace("Sentinel-1A", f"Sentinel-1{letter}").replace("RESORB", "POEORB")
    path = tmp_path / f"S1{letter}_OPER_AUX_POEORB é [1].EOF"
    path.write_text(text)
    orbit = read_orbit_file(path, epoch=day, start_s=START_S, stop_s=STOP_S, platform=f"S1{letter}")
    assert orbit.time_s.size == 17
    other = "B" if letter != "B" else "A"
    with pytest.raises(OrbitError, match=f"orbit of Sentinel-1{letter}, the product is of S1{other}"):
        read_orbit_file(path, epoch=day, start_s=START_S, stop_s=STOP_S, platform=f"S1{other}")


@pytest.mark.parametrize("shift_s", [-9000.0, 4000.0, 86400.0])
def test_a_file_of_another_time_is_refused(
    shift_s: float, azores_orbit_file: Path, day: np.datetime64, tmp_path: Path
) -> None:
    renamed = tmp_path / "orbit.EOF"
    renamed.write_bytes(azores_orbit_file.read_bytes())
    with pytest.raises(OrbitError, match=r"covers 2022-09-18T05:31:55\.470319000 to 2022-09-18T08:49:25\.470319000"):
        read_orbit_file(renamed, epoch=day, start_s=START_S + shift_s, stop_s=STOP_S + shift_s)
    renamed.write_bytes(b"")  # of a whole stack's files, those of other dates are told by their names, unread
    unread = renamed.rename(tmp_path / azores_orbit_file.name)
    with pytest.raises(OrbitError, match=r"covers 2022-09-18T05:31:55\.0+ to 2022-09-18T08:49:25\.0+ UTC"):
        read_orbit_file(unread, epoch=day, start_s=START_S + shift_s, stop_s=STOP_S + shift_s)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("</Earth_Explorer_File>", "", "cannot be read as an EOF"),
        ("<Mission>Sentinel-1A</Mission>", "", "not an EOF orbit file"),
        ("OSV>", "Vector>", "not an EOF orbit file"),
        ("UTC=2022-09-18T07:49", "UTC=soon", "a state vector cannot be read"),
        ("<UTC>", "<Other>", "cannot be read as an EOF"),
        ('<X unit="m">', '<X unit="m">many', "a state vector cannot be read"),
    ],
)
def test_a_damaged_file_is_named(
    before: str, after: str, said: str, azores_orbit_file: Path, tmp_path: Path, day: np.datetime64
) -> None:
    path = tmp_path / "damaged.EOF"
    text = azores_orbit_file.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(OrbitError, match=rf"damaged\.EOF.*{said}"):
        read_orbit_file(path, epoch=day, start_s=START_S, stop_s=STOP_S)


def test_half_a_file_and_no_file_are_named(azores_orbit_file: Path, tmp_path: Path, day: np.datetime64) -> None:
    half = tmp_path / "half.EOF"
    half.write_bytes(azores_orbit_file.read_bytes()[:200_000])
    for path in (half, tmp_path / "absent.EOF", tmp_path):
        with pytest.raises(OrbitError, match=path.name):
            read_orbit_file(path, epoch=day, start_s=START_S, stop_s=STOP_S)


@pytest.mark.parametrize("index", range(1, 16))
@pytest.mark.parametrize("field", ["position_m", "velocity_m_s"])
def test_one_wild_vector_is_found_wherever_it_is(field: str, index: int, resorb: Orbit) -> None:
    """Two metres, or a third of a metre per second, on one of the vectors."""
    values = getattr(resorb, field).copy()
    values[index, index % 3] += 2.0 if field == "position_m" else 0.33
    with pytest.raises(OrbitError, match="from a smooth orbit"):
        replace(resorb, **{field: values}).arc(START_S, STOP_S)


@pytest.mark.parametrize("field", ["position_m", "velocity_m_s"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_no_number_is_refused(field: str, value: float, resorb: Orbit) -> None:
    values = getattr(resorb, field).copy()
    values[8, 1] = value
    with pytest.raises(OrbitError, match="not a finite number"):
        replace(resorb, **{field: values}).arc(START_S, STOP_S)


def test_times_that_belong_to_other_vectors_are_refused(resorb: Orbit) -> None:
    time = resorb.time_s.copy()
    time[[7, 8]] = time[[8, 7]]
    with pytest.raises(OrbitError):
        replace(resorb, time_s=time).arc(START_S, STOP_S)


@given(order=st.lists(st.integers(0, 16), max_size=12).map(lambda more: [*range(16, -1, -1), *more]))
@settings(max_examples=25, deadline=None)
def test_vectors_in_any_order_and_more_than_once_give_the_same_arc(resorb: Orbit, order: list[int]) -> None:
    shuffled = replace(
        resorb,
        time_s=resorb.time_s[order],
        position_m=resorb.position_m[order],
        velocity_m_s=resorb.velocity_m_s[order],
    )
    time = np.linspace(START_S, STOP_S, 5)
    np.testing.assert_array_equal(
        shuffled.arc(START_S, STOP_S).position_m(time), resorb.arc(START_S, STOP_S).position_m(time)
    )


def test_two_different_vectors_of_one_time_are_refused(resorb: Orbit) -> None:
    order = [*range(17), 8]
    position = resorb.position_m[order]
    position[-1] += 0.01
    with pytest.raises(OrbitError):
        replace(resorb, time_s=resorb.time_s[order], position_m=position, velocity_m_s=resorb.velocity_m_s[order]).arc(
            START_S, STOP_S
        )


def turned(orbit: Orbit, angle_rad: float) -> Orbit:
    """Velocities as the satellite itself determines them: off by a small turn (real ones by 1 to 3 microradians)."""
    east = np.cross(orbit.position_m, orbit.velocity_m_s)
    east /= np.linalg.norm(east, axis=1, keepdims=True)
    speed = np.linalg.norm(orbit.velocity_m_s, axis=1, keepdims=True)
    return replace(
        orbit,
        velocity_m_s=orbit.velocity_m_s + angle_rad * speed * east,
        source="annotation of the test",
        is_downlink=True,
    )


@pytest.mark.parametrize("angle_rad", [1e-6, 2e-6, 3e-6, 6e-6])
def test_a_downlink_orbit_is_used_with_a_warning(angle_rad: float, resorb: Orbit) -> None:
    """Real ones miss the arc by 0.2 to 1.05 m; the arc stays near to the positions, which are good."""
    with pytest.warns(OrbitWarning, match="Downlink"):
        arc = turned(resorb, angle_rad).arc(START_S, STOP_S)
    assert arc.misfit_m > 0.2
    time = np.linspace(START_S, STOP_S, 9)
    apart = np.linalg.norm(arc.position_m(time) - resorb.arc(START_S, STOP_S).position_m(time), axis=1)
    assert apart.max() < arc.misfit_m


def test_an_orbit_is_warned_of_once(resorb: Orbit) -> None:
    orbit = turned(resorb, 2e-6)
    with pytest.warns(OrbitWarning):
        orbit.arc(START_S, STOP_S)
    orbit.arc(START_S + 1, STOP_S - 1)


@pytest.mark.parametrize("index", range(1, 16))
@pytest.mark.filterwarnings("ignore::insar_mining.errors.OrbitWarning")
def test_a_downlink_vector_that_is_off_by_more_is_refused(index: int, resorb: Orbit) -> None:
    orbit = turned(resorb, 2e-6)
    for field, off in (("position_m", 10.0), ("velocity_m_s", 1.0)):
        values = getattr(orbit, field).copy()
        values[index, index % 3] += off
        with pytest.raises(OrbitError):
            replace(orbit, **{field: values}).arc(START_S, STOP_S)
    with pytest.raises(OrbitError):
        turned(resorb, 4e-5).arc(START_S, STOP_S)


def test_the_second_60_is_the_next_minute() -> None:
    assert without_leap_second("UTC=2016-12-31T23:59:60.250000") == "2017-01-01T00:00:00.250000"
    assert without_leap_second("2016-12-31T23:59:59.250000") == "2016-12-31T23:59:59.250000"


def test_an_arc_is_not_extrapolated(resorb: Orbit) -> None:
    for start, stop in ((START_S - 200, STOP_S), (START_S, STOP_S + 200), (0, 10)):
        with pytest.raises(OrbitError, match="do not cover"):
            resorb.arc(start, stop)
    sparse = without(resorb, [i for i in range(17) if i not in (2, 8, 15)])
    with pytest.raises(OrbitError, match="3 state vectors"):
        sparse.arc(START_S, STOP_S)


def test_few_vectors_still_give_an_arc(resorb: Orbit) -> None:
    """Six vectors (10 s apart) around a burst: a lower degree, and still millimetres."""
    middle = (START_S + STOP_S) / 2
    far = np.flatnonzero(np.abs(resorb.time_s - middle) > 30).tolist()
    few = without(resorb, far)
    assert few.time_s.size in (6, 7)
    time = np.linspace(middle - 10, middle + 10, 11)
    full = resorb.arc(START_S, STOP_S).position_m(time)
    np.testing.assert_allclose(few.arc(middle - 10, middle + 10).position_m(time), full, atol=5e-3, rtol=0)
