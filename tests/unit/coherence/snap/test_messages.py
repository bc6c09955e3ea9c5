"""Output of the operators of SNAP 13.0.4 and 14.0.0, as it was recorded, and the errors that it becomes."""

from __future__ import annotations

import pytest

from insar_mining.coherence.snap.gpt import Ended, raise_for
from insar_mining.coherence.snap.settings import SnapSettings, parse_version
from insar_mining.errors import (
    EngineError,
    InsarMiningError,
    SnapCrashError,
    SnapError,
    SnapGraphError,
    SnapMemoryError,
    SnapOrbitError,
    SnapOverlapError,
)

LIMITS = SnapSettings(heap_mib=2048, cache_mib=512, parallelism=4)
JBLAS = [
    "-- org.jblas INFO Deleting /tmp/jblas8721/libjblas_arch_flavor.so",
    "-- org.jblas INFO Deleting /tmp/jblas8721/libjblas.so",
]
GRAPH = "org.esa.snap.core.gpf.graph.GraphException: "
DGEMM = "[NodeId: Interferogram] 'void org.jblas.NativeBlas.dgemm(char, char, int, int, int, double, double[], int)'"

RECORDED = {
    # stdout and stderr as they came, the error, and what its message must name
    "heap on stdout alone": (
        ["Executing processing graph", "....10%....20%Java heap space", "90% done."],
        ["Error: Cannot construct DataBuffer.", f"{GRAPH}Cannot construct DataBuffer.", *JBLAS],
        SnapMemoryError,
        ("Java heap space", "INSAR_MINING_SNAP_MEMORY", "heap 2048 MiB"),
    ),
    "no memory for a buffer": (
        [" done."],
        ["Error: Cannot construct DataBuffer.", *JBLAS],
        SnapMemoryError,
        ("Cannot construct DataBuffer", "INSAR_MINING_SNAP_MEMORY"),
    ),
    "no libgfortran": (
        ["Executing processing graph", " done."],
        [f"Error: {DGEMM}", f"{GRAPH}{DGEMM}", *JBLAS],
        EngineError,
        ("NativeBlas", "libgfortran.so.5", "libgfortran5"),
    ),
    "unknown operator": (
        [],
        ["Error: SPI not found for operator 'Back-Geocodin'", *JBLAS],
        SnapGraphError,
        ("Back-Geocodin", "insar-mining doctor"),
    ),
    "missing sub-swath": (
        ["Index -1 out of bounds for length 1", " done."],
        ["Error: [NodeId: TOPSAR-Split] Index -1 out of bounds for length 1"],
        SnapGraphError,
        ("Index -1", "sub-swath"),
    ),
    "one sub-swath assembled": (
        [" done."],
        [
            'Error: [NodeId: SliceAssembly] Cannot invoke "org.esa.snap.core.datamodel.TiePointGrid.getGridWidth()" '
            'because "latTPG" is null'
        ],
        SnapGraphError,
        ("TiePointGrid", "two sub-swaths"),
    ),
    "no orbit file": (
        [],
        [
            "Error: [NodeId: Apply-Orbit-File] No valid orbit file found for 04-SEP-2023 06:36:27.041367",
            "Orbit files may be placed in /scratch/userdir/auxdata/Orbits/Sentinel-1/POEORB/S1A/2023/09",
        ],
        SnapOrbitError,
        ("04-SEP-2023 06:36:27.041367", "--orbit"),
    ),
    "narrow spectral diversity": (
        ["Arrays must have the same length.", " done."],
        ["Error: Arrays must have the same length.", f"{GRAPH}Arrays must have the same length."],
        SnapError,
        ("Arrays must have the same length", "512 samples"),
    ),
    "anything else": (
        ["Executing processing graph", "....10%", "90% done."],
        ["Error: something", f"{GRAPH}[NodeId: Subset] something", *JBLAS],
        SnapError,
        ("[NodeId: Subset] something", "exit code 1"),
    ),
}


@pytest.mark.parametrize("case", RECORDED)
def test_what_snap_says_becomes_an_error_with_a_remedy(case: str) -> None:
    out, err, kind, words = RECORDED[case]
    with pytest.raises(InsarMiningError) as caught:
        raise_for(Ended(1), [*out, *err], "interferogram-IW1", LIMITS, "gpt (SNAP 14.0.0)")
    assert type(caught.value) is kind
    for word in words:
        assert word in str(caught.value)
    assert "jblas INFO" not in str(caught.value)
    assert "....10%" not in str(caught.value)


def test_no_intersection_is_an_error_in_spite_of_exit_code_0() -> None:
    line = "WARNING: org.esa.snap.core.gpf.common.SubsetOp: No intersection with source product boundary S1A_IW_SLC"
    with pytest.raises(SnapOverlapError, match="mine's polygon"):
        raise_for(Ended(0), [line], "subset", LIMITS, "gpt (SNAP 14.0.0)")


def test_a_warning_of_baselines_alone_is_no_failure() -> None:
    """Without libgfortran coregistration ends well; the interferogram then fails by name."""
    raise_for(Ended(0), ["WARNING: Unable to calculate baselines", " done."], "coregister-IW1", LIMITS, "gpt")


def test_sigterm_is_a_crash_by_name() -> None:
    with pytest.raises(SnapCrashError, match="signal 15"):
        raise_for(Ended(143), ["Executing processing graph"], "subset", LIMITS, "gpt")


def test_javas_version_is_never_taken_for_snaps() -> None:
    diagnosis = (
        "SNAP home: /opt/snap-14\nSNAP debug: false\nJava home: /usr/lib/jvm/java-21\nJava version: 21.0.5\n"
        "Processors: 2\nMax memory: 4.0 GB\n"
    )
    assert parse_version(diagnosis) == ()
    assert parse_version("SNAP Release version 13.0.4\n" + diagnosis) == (13, 0, 4)
    assert parse_version('openjdk version "21.0.5" 2024-10-15\n21.0.5\n') == ()
    assert parse_version("14.0.0\n") == (14, 0, 0)
