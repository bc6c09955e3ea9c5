"""Interference as ESA's processor annotates it: which bursts, how much of them, where nothing is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_annotation
from insar_mining.sentinel1.interference import Interference, parse_interference, read_interference
from insar_mining.sentinel1.product import open_product
from insar_mining.sentinel1.slices import join_annotations, join_reports

TIMES = [np.datetime64("2023-09-04T06:37:31.072288", "ns") + np.timedelta64(2758, "ms") * n for n in range(4)]


def report(time: np.datetime64, *, pulses: float | None = None, bands: float | None = None, steady: float = 0.0) -> str:
    """A burst's report; without detection it holds the ratio of powers only."""
    found = "<inBandOutBandPowerRatio>1.1</inBandOutBandPowerRatio>"
    if pulses is not None:
        found += (
            f"<timeDomainRfiReport><percentageAffectedLines>{pulses}</percentageAffectedLines>"
            "<avgPercentageAffectedSamples>90</avgPercentageAffectedSamples></timeDomainRfiReport>"
        )
    if bands is not None:
        found += (
            "<frequencyDomainRfiBurstReport><numSubBlocks>10</numSubBlocks><isolatedRfiReport>"
            f"<percentageAffectedLines>{bands}</percentageAffectedLines><maxPercentageAffectedBW>95"
            "</maxPercentageAffectedBW></isolatedRfiReport><percentageBlocksPersistentRfi>"
            f"{steady}</percentageBlocksPersistentRfi></frequencyDomainRfiBurstReport>"
        )
    return f"<rfiBurstReport><swath>IW1</swath><azimuthTime>{time}</azimuthTime>{found}</rfiBurstReport>"


def noise(time: np.datetime64, detected: str) -> str:
    return (
        f"<rfiDetectionFromNoiseReport><swath>IW1</swath><noiseSensingTime>{time}</noiseSensingTime>"
        f"<rfiDetected>{detected}</rfiDetected></rfiDetectionFromNoiseReport>"
    )


def annotation(reports: str, detections: str = "", start: str = "2023-09-04T06:37:31") -> ElementTree.Element:
    return ElementTree.fromstring(
        f"<rfi><adsHeader><startTime>{start}</startTime><stopTime>{start}</stopTime></adsHeader>"
        "<rfiMitigationApplied>true</rfiMitigationApplied>"
        f"<rfiDetectionFromNoiseReportList>{detections}</rfiDetectionFromNoiseReportList>"
        f"<rfiBurstReportList>{reports}</rfiBurstReportList></rfi>"
    )


def test_only_the_bursts_asked_for_count() -> None:
    root = annotation(
        report(TIMES[0], pulses=80.0) + report(TIMES[1]) + report(TIMES[2], pulses=3.0, bands=7.5, steady=20.0),
        noise(TIMES[0] - np.timedelta64(20, "s"), "true") + noise(TIMES[1], "true") + noise(TIMES[2], "false"),
    )
    found = [parse_interference(root, [time], source="rfi") for time in TIMES]
    assert found[0] == Interference(80.0, 1, "true")
    assert found[1].percent == 0.0
    assert found[2].percent == 20.0
    assert found[3].percent is None  # no report of that burst
    assert parse_interference(root, TIMES[:3], source="rfi").percent == 80.0


@pytest.mark.parametrize(
    "root",
    [
        ElementTree.fromstring("<product/>"),
        annotation(report(TIMES[0], pulses=101.0)),
        annotation(report(TIMES[0]).replace("azimuthTime", "time")),
        annotation(report(TIMES[0], pulses=1.0).replace(">1.0<", ">much<")),
    ],
)
def test_what_is_no_rfi_annotation_is_refused(root: ElementTree.Element) -> None:
    with pytest.raises(ProductError):
        parse_interference(root, TIMES, source="rfi")


def test_of_a_product(safe_copy: Path) -> None:
    product = open_product(safe_copy)
    ((swath, polarisation),) = product.images
    assert read_interference(product, swath, polarisation, TIMES) is None
    folder = safe_copy / "annotation" / "rfi"
    folder.mkdir()
    (own,) = (safe_copy / "annotation").glob("s1*.xml")
    here, other = folder / f"rfi-{own.name}", folder / f"rfi-{own.name.replace('-vv-', '-vh-')}"
    here.write_bytes(ElementTree.tostring(annotation(report(TIMES[0], pulses=40.0))))
    other.write_bytes(ElementTree.tostring(annotation(report(TIMES[0], pulses=90.0))))
    assert read_interference(open_product(safe_copy), swath, polarisation, TIMES) == Interference(40.0, 0, "true")
    here.write_text("<rfi>")
    with pytest.raises(ProductError):
        read_interference(open_product(safe_copy), swath, polarisation, TIMES)


def test_reports_of_slices_are_joined_once_each() -> None:
    parts = [
        annotation(report(TIMES[2]) + report(TIMES[3], pulses=5.0), start="2023-09-04T06:37:36"),
        annotation(report(TIMES[0], pulses=9.0) + report(TIMES[1]) + report(TIMES[2])),
    ]
    joined = join_reports(parts, [("rfiBurstReportList", "azimuthTime")])
    assert len(joined.findall("rfiBurstReportList/rfiBurstReport")) == 4
    assert [parse_interference(joined, [time], source="rfi").percent for time in TIMES] == [9.0, 0.0, 0.0, 5.0]
    assert len(parts[1].findall("rfiBurstReportList/rfiBurstReport")) == 3


def test_missing_raw_lines_are_counted(morocco_annotation: Callable[[str, str], bytes]) -> None:
    xml = morocco_annotation("20230904", "IW1")
    assert parse_annotation(xml, source="real").missing_lines == 0
    lost = xml.replace(b"<numDownlinkInputMissingLines>0", b"<numDownlinkInputMissingLines>31").replace(
        b"<numSsbErrorInputMissingLines>0", b"<numSsbErrorInputMissingLines>4"
    )
    assert parse_annotation(lost, source="edited").missing_lines == 35
    root = ElementTree.fromstring(lost)
    root.remove(root.find("qualityInformation"))  # type: ignore[arg-type]
    assert parse_annotation(ElementTree.tostring(root), source="edited").missing_lines is None
    # a slice that is there twice counts once
    whole = ElementTree.fromstring(lost)
    joined = join_annotations([whole, whole], source="twice")
    assert parse_annotation(ElementTree.tostring(joined), source="twice").missing_lines == 35
