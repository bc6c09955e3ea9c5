"""The layers of a burst: coherence and whatever else a recipe asks for, on the pixels of the stack reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from insar_mining.arrays import Complex64Array, Float32Array
from insar_mining.coherence.builtin.extras.adaptive import adaptive_coherence
from insar_mining.coherence.builtin.extras.bias import correct_map
from insar_mining.coherence.builtin.extras.common_band import (
    MOST_OF_BAND,
    common_band,
    shift_of_offsets,
    spectral_shift,
    turned,
)
from insar_mining.coherence.builtin.extras.fringes import coherence_without_fringes
from insar_mining.coherence.builtin.extras.goldstein import PhaseFilter, goldstein
from insar_mining.coherence.builtin.extras.masks import mean_power
from insar_mining.coherence.builtin.images.burst import Side, valid_pixels
from insar_mining.coherence.builtin.images.dates import DateLines, blocks_of
from insar_mining.coherence.estimators.estimate import coherence, window_mean
from insar_mining.coherence.estimators.looks import looks_of_image, spectral_looks, window_looks, window_looks_of_noise
from insar_mining.coherence.estimators.spectrum import Spectrum, azimuth_spectrum, range_spectrum
from insar_mining.coherence.plan.model import CoherencePlan, Progress
from insar_mining.coherence.plan.recipe import BIAS_BANDS, Recipe, Window
from insar_mining.errors import InsarMiningError
from insar_mining.geometry.coregister import POST_SAMPLES, Region
from insar_mining.sentinel1.annotation import SubSwath

BurstLayers = dict[str, npt.NDArray[np.generic]]

ADAPTIVE_HALO = (3, 9)  # of 5 lines x 15 samples: half of it and a cell's neighbours
FRINGE_HALO = (6, 20)
POWER_HALO = (2, 10)
COMMON_BAND_HALO = (0, 24)
USUAL_WINDOW = (2, 7)
LOOKS_LINES, LOOKS_SAMPLES = 384, 4096  # of the stack reference, for the looks that its pixels have
PHASES = ("phase", "filtered_phase")
AMPLITUDES = ("amplitude_reference", "amplitude_secondary")
POWERS = ("power_reference", "power_secondary")  # mean intensities, for the mask


@dataclass(frozen=True, eq=False)
class Dates:
    """Hold the two dates of a pair on a burst of the stack reference."""

    stack: Side
    reference: DateLines
    secondary: DateLines


def halo(window: Window, recipe: Recipe) -> tuple[int, int]:
    """Return the lines and samples that a block needs on every side for all layers of a recipe."""
    reaches = [(window.azimuth, window.range)]
    if recipe.estimator == "adaptive":
        reaches.append(ADAPTIVE_HALO)
    if recipe.remove_fringes:
        reaches.append(FRINGE_HALO)
    if {*AMPLITUDES, "mask"} & set(recipe.bands):
        reaches.append(POWER_HALO)
    if "filtered_phase" in recipe.bands:
        # the filter needs a whole patch around each pixel, and where coherence decides, that of all of the patch
        windows = 2 if recipe.goldstein_adaptive_alpha else 1
        patch = recipe.goldstein_fft_size
        reaches.append((patch + windows * window.azimuth, patch + windows * window.range))
    lines, samples = (max(reach) for reach in zip(*reaches, strict=True))
    if recipe.common_band:
        return lines + COMMON_BAND_HALO[0], samples + COMMON_BAND_HALO[1]
    return lines, samples


def offset_of(name: str, plan: CoherencePlan) -> tuple[float, float]:
    """Return the lines and samples by which the values of a layer lie beyond their pixels.

    Those of the plan's window where it has made them; amplitudes and adaptive windows have odd sizes.
    """
    if name in (*AMPLITUDES, *POWERS) or (plan.recipe.estimator == "adaptive" and name not in PHASES):
        return 0.0, 0.0
    return plan.estimation.window_offset


def burst_layers(region: Region, dates: Dates, plan: CoherencePlan, progress: Progress) -> BurstLayers:
    """Compute the layers of a region of a burst, block by block; NaN where either date has no data.

    Returns
    -------
    dict
        ``coherence``; the bands of bias correction; amplitudes; and for phases the complex means of the
        window.  Each of the region's shape.
    """
    reach, across = halo(plan.window, plan.recipe)
    wide = region.padded(reach, across).aligned()
    columns = slice(region.sample_start - wide.sample_start, region.sample_stop - wide.sample_start)
    out: BurstLayers = {}
    blocks = [(part, wide.lines_between(part.line_start - reach, part.line_stop + reach)) for part in blocks_of(region)]
    for number, (part, block) in enumerate(blocks):
        for _, upcoming in blocks[number + 1 : number + 2]:  # the disk works on the next block meanwhile
            dates.reference.announce(upcoming)
            dates.secondary.announce(upcoming)
        first = part.line_start - region.line_start
        for name, values in _layers_of(block, dates, plan).items():
            image = out.setdefault(name, np.empty(region.shape, dtype=values.dtype))
            image[first : first + part.shape[0]] = values[reach : reach + part.shape[0], columns]
        progress((part.line_stop - region.line_start) / region.shape[0])
    if "filtered_phase" in plan.recipe.bands:
        out["filtered_phase"] = _filtered(region, wide, dates, plan)
    if set(BIAS_BANDS) & set(plan.recipe.bands):
        looks = window_looks(dates.stack.swath, plan.window.azimuth, plan.window.range)
        corrected = correct_map(np.asarray(out["coherence"], np.float32), looks)
        out |= dict(zip(BIAS_BANDS, corrected, strict=True))
    return out


def _layers_of(block: Region, dates: Dates, plan: CoherencePlan) -> BurstLayers:
    """Compute the layers of a block, its halo included."""
    window, recipe = plan.window, plan.recipe
    reference, secondary = images_of(block, dates, recipe)
    out: BurstLayers = {"coherence": estimated(reference, secondary, window, recipe, dates.stack.swath)}
    if "phase" in recipe.bands:
        out["phase"] = window_mean(reference * secondary.conj(), window.azimuth, window.range)
    for amplitude, power, image in zip(AMPLITUDES, POWERS, (reference, secondary), strict=True):
        if {amplitude, "mask"} & set(recipe.bands):
            out[power] = mean_power(image)
            out[amplitude] = np.sqrt(out[power])
    return out


def estimated(
    reference: Complex64Array, secondary: Complex64Array, window: Window, recipe: Recipe, swath: SubSwath
) -> Float32Array:
    """Return the coherence of a block by the estimator of a recipe."""
    if recipe.estimator == "adaptive":
        looks_per_sample = window_looks(swath, *USUAL_WINDOW) / math.prod(USUAL_WINDOW)
        return adaptive_coherence(reference, secondary, looks_per_sample=looks_per_sample)[0]
    if recipe.remove_fringes:
        return coherence_without_fringes(reference, secondary, window.azimuth, window.range)
    values: Float32Array = coherence(reference, secondary, window.azimuth, window.range)
    return values


def images_of(block: Region, dates: Dates, recipe: Recipe) -> tuple[Complex64Array, Complex64Array]:
    """Read both dates on a block, filtered to the band that they share if the recipe asks for it."""
    reference, secondary = dates.reference.lines(block), dates.secondary.lines(block)
    if not recipe.common_band:
        return reference, secondary
    swath = dates.stack.swath
    own = dates.reference.range_offset(block)
    if own.any():  # the reference's band lies off centre too: put it back, and turn the secondary with it
        reference, secondary = turned(reference, secondary, own, POST_SAMPLES, swath.wavelength_m)
    shift = shift_of_offsets(dates.secondary.range_offset(block) - own, POST_SAMPLES, swath.wavelength_m)
    return common_band(reference, secondary, shift[:, : block.shape[1]], range_spectrum(swath))


def _filtered(region: Region, wide: Region, dates: Dates, plan: CoherencePlan) -> Complex64Array:
    """Filter the phase of the interferogram of a region, and average it over the window."""
    recipe = plan.recipe
    whole = np.empty(wide.shape, dtype=np.complex64)
    is_masked = recipe.goldstein_coherence_threshold > 0
    quality = np.empty(wide.shape, dtype=np.float32) if is_masked or recipe.goldstein_adaptive_alpha else None
    for block in blocks_of(wide):
        reference, secondary = images_of(block, dates, recipe)
        first = block.line_start - wide.line_start
        whole[first : first + block.shape[0]] = reference * secondary.conj()
    if quality is not None:
        tall = wide.lines_between(wide.line_start + plan.window.azimuth, wide.line_stop - plan.window.azimuth)
        quality[:] = np.nan  # at the rim, which is cut off below
        for block in blocks_of(tall):
            around = block.padded(plan.window.azimuth, 0)
            reference, secondary = images_of(around, dates, recipe)
            values = coherence(reference, secondary, plan.window.azimuth, plan.window.range)
            first = block.line_start - wide.line_start
            inner = values[plan.window.azimuth : plan.window.azimuth + block.shape[0]]
            quality[first : first + block.shape[0]] = inner
    filtered = goldstein(
        whole,
        quality,
        PhaseFilter(
            alpha=recipe.goldstein_alpha,
            fft_size=recipe.goldstein_fft_size,
            window_size=recipe.goldstein_window_size,
            use_adaptive_alpha=recipe.goldstein_adaptive_alpha,
            use_coherence_mask=is_masked,
            coherence_threshold=recipe.goldstein_coherence_threshold,
        ),
        first_line=wide.line_start,
        first_sample=wide.sample_start,
    )
    mean = window_mean(filtered, plan.window.azimuth, plan.window.range)
    first, left = region.line_start - wide.line_start, region.sample_start - wide.sample_start
    cut: Complex64Array = mean[first : first + region.shape[0], left : left + region.shape[1]]
    return cut


def looks_in_words(region: Region, stack: Side, window: Window) -> dict[str, str]:
    """Describe the independent looks of the window for the tags of a product: of the annotation and of pixels.

    The pixels are those of the stack reference around the region, as far as its burst reaches: a mine of one
    kilometre alone has too few.  The piece has a size that costs next to nothing.
    """
    piece = _piece_around(region, stack)
    try:
        found = looks_of_image(valid_pixels(stack, piece), window.azimuth, window.range)
        measured = f"{found.looks:.2f} (sd {found.sd:.2f}, {found.parts} pieces of {stack.swath.swath})"
    except InsarMiningError as error:  # too few pixels, damaged ones: a remark, no reason to fail
        measured = f"not measured: {error}"
    size = window.azimuth, window.range
    return {
        "LOOKS": f"{window_looks(stack.swath, *size):.2f}",
        "LOOKS_OF_NOISE": f"{window_looks_of_noise(stack.swath, *size):.2f}",
        "LOOKS_MEASURED": measured,
    }


def _piece_around(region: Region, stack: Side) -> Region:
    """Return 384 lines x 4096 samples with the region in their middle, moved into the valid part of the burst."""
    lines, samples = (
        (start, min(start + size, valid.stop))
        for middle, size, valid in (
            ((region.line_start + region.line_stop) // 2, LOOKS_LINES, stack.burst.valid_lines),
            ((region.sample_start + region.sample_stop) // 2, LOOKS_SAMPLES, stack.burst.valid_samples),
        )
        for start in (max(min(middle - size // 2, valid.stop - size), valid.start),)
    )
    return Region(*lines, *samples)


def looks_of_common_band(region: Region, stack: Side, plan: CoherencePlan) -> float:
    """Return the independent looks of the window over the band that both dates of a pair share on level ground.

    The filter leaves a window of the same weighting as narrow as the common band: slopes that face the
    satellite have fewer looks than this, slopes turned away more.
    """
    swath, grid = stack.swath, stack.swath.geolocation
    sample = (region.sample_start + region.sample_stop) / 2
    middle = grid.sample.shape[0] // 2
    shift = spectral_shift(
        plan.perpendicular_baseline_m,
        swath.slant_range_m + sample * swath.range_spacing_m,
        np.interp(sample, grid.sample[middle], grid.incidence_deg[middle]),
        0.0,
        wavelength_m=swath.wavelength_m,
        range_spacing_m=swath.range_spacing_m,
    )
    whole = range_spectrum(swath)
    shared = Spectrum(whole.band - min(abs(float(shift)), MOST_OF_BAND * whole.band), whole.hamming)
    return spectral_looks(azimuth_spectrum(swath), shared, plan.window.azimuth, plan.window.range)
