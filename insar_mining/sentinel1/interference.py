"""Radio-frequency interference (RFI) as ESA's processor annotates it, since version 3.40.

``annotation/rfi/rfi-*.xml`` holds the detections in the noise measurements between bursts, and for each
burst the share of the raw data that is affected (ESA, Using the RFI annotations, MPC-0540).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from insar_mining.doors import parse_xml
from insar_mining.errors import ProductError
from insar_mining.sentinel1.annotation import parse_utc
from insar_mining.sentinel1.container import Container
from insar_mining.sentinel1.elements import MissingElementError, text_of
from insar_mining.sentinel1.layouts import burst_metadata_of
from insar_mining.sentinel1.product import Product

Element = ElementTree.Element

# shares of a burst, in percent: lines hit by pulses, lines hit by narrow bands, blocks hit by steady narrow bands
_SHARES = (
    "timeDomainRfiReport/percentageAffectedLines",
    "frequencyDomainRfiBurstReport/isolatedRfiReport/percentageAffectedLines",
    "frequencyDomainRfiBurstReport/percentageBlocksPersistentRfi",
)
REPORTS = (("rfiBurstReportList", "azimuthTime"), ("rfiDetectionFromNoiseReportList", "noiseSensingTime"))
"""Lists of an RFI annotation, and the element that tells the time of their entries."""

_NEAR_A_BURST = np.timedelta64(1400, "ms")  # half the time from one burst to the next
_NEXT_TO_A_BURST = np.timedelta64(5600, "ms")  # noise is measured once per cycle of the three sub-swaths


@dataclass(frozen=True)
class Interference:
    """Hold what the annotation states on interference in some bursts.

    Attributes
    ----------
    percent : float or None
        Largest share of any burst that is affected, 0..100; 0 without a report that names a share, None
        without a report of these bursts.
    detections : int
        Noise measurements beside the bursts (within 5.6 s) in which interference was detected.
    mitigation : str
        What the annotation says of its removal, as it is written there; empty where it does not.
    """

    percent: float | None
    detections: int
    mitigation: str


def read_interference(
    product: Product, swath: str, polarisation: str, bursts: Sequence[np.datetime64]
) -> Interference | None:
    """Read what a product annotates of interference in some bursts of a sub-swath.

    Parameters
    ----------
    bursts : sequence of numpy.datetime64
        Zero-Doppler times (UTC) of their first lines.

    Returns
    -------
    Interference or None
        None where the product has no such annotation, as before version 3.40 of the processor.

    Raises
    ------
    ProductError
        The annotation is damaged.
    """
    found = [
        parse_interference(root, bursts, source=source)
        for root, source in _annotations(product._layout.container, swath.upper(), polarisation.upper())
    ]
    if not found:
        return None
    known = [one.percent for one in found if one.percent is not None]
    return Interference(
        percent=max(known, default=None),
        detections=sum(one.detections for one in found),
        mitigation=", ".join(sorted({one.mitigation for one in found if one.mitigation})),
    )


def parse_interference(root: Element, bursts: Sequence[np.datetime64], *, source: str) -> Interference:
    """Read an RFI annotation.

    Parameters
    ----------
    root : Element
        ``rfi``.
    bursts : sequence of numpy.datetime64
        As of :func:`read_interference`.
    source : str
        The file's name, for messages.

    Raises
    ------
    ProductError
        It is no RFI annotation, or a time or a share in it is no number.
    """
    try:
        if root.tag != "rfi":
            raise ValueError(f"the root element is <{root.tag}>, expected <rfi>")
        reports = root.findall("rfiBurstReportList/rfiBurstReport")
        own = [report for report in reports if _is_near(text_of(report, "azimuthTime"), bursts, _NEAR_A_BURST)]
        shares = [float(text) for report in own for name in _SHARES if (text := report.findtext(name)) is not None]
        if not all(0.0 <= share <= 100.0 for share in shares):
            raise ValueError(f"a share of {max(shares)} percent")
        noise = root.findall("rfiDetectionFromNoiseReportList/rfiDetectionFromNoiseReport")
        detected = [
            report
            for report in noise
            if report.findtext("rfiDetected", "").strip().lower() == "true"
            and _is_near(text_of(report, "noiseSensingTime"), bursts, _NEXT_TO_A_BURST)
        ]
    except (MissingElementError, ValueError) as error:
        raise ProductError(f"{source}: not a usable RFI annotation ({error}). Fetch the product again") from error
    return Interference(
        percent=max(shares, default=0.0) if own else None,
        detections=len(detected),
        mitigation=root.findtext("rfiMitigationApplied", "").strip(),
    )


def _annotations(container: Container, swath: str, polarisation: str) -> Iterable[tuple[Element, str]]:
    """Yield the RFI annotations of a sub-swath: of each joined slice one, or what came with single bursts."""
    pattern = re.compile(rf"(?:\d+/)?annotation/rfi/rfi-s1[a-z]-{swath}-slc-{polarisation}-[^/]*\.xml", re.IGNORECASE)
    extract = re.compile(r"(?:\d+/)?[^/]+(?<!\.aux)\.xml", re.IGNORECASE)
    for name in sorted(container.sizes):
        is_own, is_extract = pattern.fullmatch(name), extract.fullmatch(name)
        if not is_own and not is_extract:
            continue
        try:
            root = parse_xml(container.read(name))
        except ElementTree.ParseError as error:
            raise ProductError(
                f"{container.where(name)}: not well-formed XML ({error}). Fetch the product again"
            ) from error
        if is_own:
            yield root, container.where(name)
        else:
            for key, element in burst_metadata_of(root, "rfi"):
                if key == (swath, polarisation):
                    yield element, container.where(name)


def _is_near(time: str, bursts: Sequence[np.datetime64], limit: np.timedelta64) -> bool:
    moment = parse_utc(time)
    apart: npt.NDArray[np.timedelta64] = np.abs(np.array(bursts, dtype="datetime64[ns]") - moment)
    return bool((apart <= limit).any())
