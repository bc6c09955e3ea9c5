"""Describe how coherence is estimated, and the bands that are written beside it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from insar_mining.errors import EngineError, OptionError
from insar_mining.options.models import BandName, CoherenceOptions

Estimator = Literal["boxcar", "adaptive"]
Refinement = Literal["none", "auto"]

BIAS_BANDS = ("unbiased", "standard_error", "lower", "upper")

DESCRIPTIONS: dict[str, tuple[str, str]] = {
    "coherence": ("1", "sample coherence"),
    "unbiased": ("1", "coherence corrected for the bias of its window, of the window nearest to the cell"),
    "standard_error": ("1", "root mean square error of the corrected coherence"),
    "lower": ("1", "lower end of the 95 % likelihood interval of the coherence; 0 where none is likely"),
    "upper": ("1", "upper end of the 95 % likelihood interval of the coherence"),
    "phase": ("rad", "phase of the interferogram, wrapped, mean of the coherence window"),
    "filtered_phase": ("rad", "the same after the filter of Goldstein and Werner"),
    "amplitude_reference": ("DN", "root mean square amplitude of the reference over 5 lines x 21 samples"),
    "amplitude_secondary": ("DN", "root mean square amplitude of the secondary over 5 lines x 21 samples"),
    "mask": (
        "bits",
        "1 layover, 2 in layover with others, 4 shadow, 8 in the shadow of others, 16 low signal, 32 water-like, "
        "128 no height",
    ),
    "incidence": ("deg", "local incidence angle"),
    "baseline": ("m", "perpendicular baseline, positive upward"),
}


@dataclass(frozen=True)
class Window:
    """Hold the size of the coherence window: lines in azimuth, samples in range.

    Examples
    --------
    >>> Window.parse("3x9")
    Window(azimuth=3, range=9)
    """

    azimuth: int = 2
    range: int = 7

    def __post_init__(self) -> None:
        """Refuse windows in which coherence means nothing."""
        if not (1 <= self.azimuth <= 101 and 1 <= self.range <= 501 and self.azimuth * self.range >= 2):
            raise OptionError(f"window {self}: 1..101 lines x 1..501 samples, at least 2 pixels in all (default 2x7)")

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``"2x7"`` (azimuth x range).

        Examples
        --------
        >>> Window.parse("2x7")
        Window(azimuth=2, range=7)
        """
        try:
            azimuth, range_ = (int(part) for part in text.lower().split("x"))
        except ValueError as error:
            raise OptionError(f"window {text!r}: write lines x samples, azimuth first, such as 2x7") from error
        return cls(azimuth, range_)

    def __str__(self) -> str:
        """Write ``"2x7"``."""
        return f"{self.azimuth}x{self.range}"


USUAL_WINDOW = Window(2, 7)
ADAPTIVE_WINDOW = Window(5, 15)  # the largest, before it is cut


@dataclass(frozen=True)
class Recipe:
    """Describe options beyond the published estimator, and the bands written beside coherence.

    Attributes
    ----------
    estimator : str
        ``"boxcar"``: the window as it is; ``"adaptive"``: 5 lines x 15 samples, cut at edges of brightness.
    remove_fringes : bool
        Take a local ramp of phase out of the window before it is summed.
    common_band : bool
        Filter both dates to the range band that they share.
    refine : str
        ``"auto"``: measure what geometry leaves of a shift between the dates, and take it out.
    goldstein_alpha, goldstein_adaptive_alpha, goldstein_fft_size, goldstein_window_size, goldstein_coherence_threshold
        Of the phase filter (:func:`insar_mining.coherence.builtin.extras.goldstein.goldstein`): exponent 0..1, whether
        coherence decides it instead, side of a patch, side of the smoothing boxcar, and the coherence below which
        pixels are left as they are (0: none).  They touch the band ``filtered_phase`` only, and are refused without.
    bands : tuple of str
        Names of `DESCRIPTIONS`, in the order in which they are written after coherence.
    """

    estimator: Estimator = "boxcar"
    remove_fringes: bool = False
    common_band: bool = False
    refine: Refinement = "none"
    goldstein_alpha: float = 1.0
    goldstein_adaptive_alpha: bool = False
    goldstein_fft_size: int = 64
    goldstein_window_size: int = 3
    goldstein_coherence_threshold: float = 0.0
    bands: tuple[BandName, ...] = ()

    @classmethod
    def of(cls, options: CoherenceOptions) -> Recipe:
        """Take the recipe's part of the options of the step.

        Raises
        ------
        OptionError
            They do not go together.
        """
        return cls(**{field.name: getattr(options, field.name) for field in fields(cls)})

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        for value, known, what in (
            (self.estimator, get_args(Estimator), "estimator"),
            (self.refine, get_args(Refinement), "refine"),
        ):
            if value not in known:
                raise OptionError(f"{what}={value!r}: choose one of {', '.join(known)}")
        unknown = [name for name in self.bands if name not in get_args(BandName)]
        if unknown or len(set(self.bands)) < len(self.bands):
            raise OptionError(f"bands {', '.join(self.bands)}: name each once, of {', '.join(get_args(BandName))}")
        if not 0 <= self.goldstein_alpha <= 1:
            raise OptionError(f"goldstein_alpha={self.goldstein_alpha}: it lies between 0 (no filter) and 1")
        self._refuse_idle_goldstein()
        if self.estimator == "adaptive" and self.remove_fringes:
            raise OptionError("remove_fringes works in the boxcar only. Choose estimator boxcar, or leave the fringes.")
        if (self.estimator == "adaptive" or self.common_band) and set(self.bands) & set(BIAS_BANDS):
            raise OptionError(
                f"bands {', '.join(BIAS_BANDS)} need windows of one size and the whole band. Choose estimator boxcar "
                "without common_band, or other bands."
            )

    def _refuse_idle_goldstein(self) -> None:
        """Refuse parameters of the phase filter that would change the plan and not the map."""
        given = [
            field.name
            for field in fields(self)
            if field.name.startswith("goldstein_") and getattr(self, field.name) != field.default
        ]
        if given and "filtered_phase" not in self.bands:
            raise OptionError(
                f"{', '.join(given)}: only the band filtered_phase is filtered. Ask for it, or leave the filter alone."
            )
        if self.goldstein_adaptive_alpha and "goldstein_alpha" in given:
            raise OptionError(
                f"goldstein_alpha={self.goldstein_alpha} with goldstein_adaptive_alpha: coherence decides the "
                "exponent. Leave one of them out."
            )

    def refuse_window(self, window: Window) -> None:
        """Refuse a window that would not be used.

        Raises
        ------
        OptionError
        """
        if self.estimator == "adaptive" and window != USUAL_WINDOW:
            raise OptionError(
                f"window {window}: the estimator adaptive cuts its own windows out of {ADAPTIVE_WINDOW}. "
                f"Leave the window at {USUAL_WINDOW}, or choose estimator boxcar."
            )

    def refuse_unless_plain(self, engine: str) -> None:
        """Refuse what only the built-in engine can do.

        Raises
        ------
        EngineError
        """
        if self != Recipe():
            raise EngineError(
                f"the engine {engine} makes coherence as published only, and no band beside it. Leave estimator, "
                "remove_fringes, common_band, refine, goldstein and bands as they are, or use --engine builtin."
            )
