"""The noise of a quiet signal, and what an alarm on it does by itself: the closed forms of Adnan and Xu.

The condition of a rule with a deadband on independent samples is a Markov chain of two states: it goes beyond with
probability `out` a sample, and comes back with probability `back`. Without a deadband `back = 1 - out`. An on-delay of
n and an off-delay of m samples then make a renewal process (Adnan et al., J. Process Control 21(9), 2011; Xu et al.,
IEEE T-ASE 9(2), 2012). Correlated noise breaks the assumption, so whiteness is measured, not believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from shakedown.acceptance.tuning.replay import Bools, Floats

DETREND_SCANS = 31  # the moving mean that is taken off: what is slower is the process, not noise
QUIET_SCANS_MIN = 300
SIGMA_PER_MAD = 1.4826  # of a normal variable
SPIKE_SIGMAS = 5.0
WHITE_CORRELATION_MAX = 0.1
WHITE_SPREAD_MAX = 1.2  # ... of the whole, over the deviation of the noise
CROSSINGS_MIN = 10


def _sum(x: float, count: int) -> float:
    """sum of x^i for i below `count`."""
    return float(count) if x == 1.0 else (1 - x**count) / (1 - x)


def scans_to_raise(out: float, back: float, n: int) -> float:
    """Expected samples from a condition that is not beyond until it has been beyond for `n` samples in a row."""
    stays = 1 - back
    reached = stays ** (n - 1)
    if out <= 0 or reached <= 0:
        return math.inf
    return (1 / out + _sum(stays, n - 1)) / reached


def annunciation_rate(out: float, back: float, n: int, m: int) -> float:
    """Annunciations a sample with on-delay `n` and off-delay `m` samples, both at least 1."""
    cycle = scans_to_raise(out, back, n) + scans_to_raise(back, out, m)
    return 0.0 if math.isinf(cycle) else 1 / cycle


def samples_held(delay_s: float, scan_s: float) -> int:
    """How many samples in a row a delay asks for."""
    return max(1, math.ceil(delay_s / scan_s - 1e-9))


def gauss_tail(sigmas: float) -> float:
    """P(a normal variable is more than so many deviations above its mean)."""
    return 0.5 * math.erfc(sigmas / math.sqrt(2))


@dataclass(frozen=True)
class Noise:
    """What the signal does while all is quiet, over `scans` samples; in the metric's unit."""

    scans: int
    median: float
    sigma: float  # of what is faster than the moving mean
    correlation: float  # of neighbouring scans, of the same
    spread: float  # deviation of all that the quiet signal does, slow or fast

    @property
    def is_white(self) -> bool:
        """Whether one scan tells (nearly) nothing of the next: the signal is noise alone, and without memory."""
        is_uncorrelated = abs(self.correlation) <= WHITE_CORRELATION_MAX + 2 / math.sqrt(self.scans)
        return is_uncorrelated and self.spread <= WHITE_SPREAD_MAX * self.sigma


def noise_of(values: Floats, quiet: Bools) -> Noise | None:
    """The noise of values at successive scans, where they have been `quiet` for a while; None if too few are."""
    settled = _whole(
        quiet, DETREND_SCANS
    )  # the last of so many quiet scans: what starts and stops has died away
    if np.count_nonzero(settled) < QUIET_SCANS_MIN:
        return None
    median = float(np.median(values[settled]))
    centred = np.where(settled, values - median, 0.0)
    rest, kept = _detrended(centred, settled)
    spread = SIGMA_PER_MAD * float(np.median(np.abs(rest[kept]))) if kept.any() else 0.0
    if spread > 0:  # a spike is no noise, nor is what it does to the mean around it
        rest, kept = _detrended(centred, settled & (np.abs(rest) <= SPIKE_SIGMAS * spread))
    if np.count_nonzero(kept) < QUIET_SCANS_MIN:
        return None
    variance = float(np.mean(rest[kept] ** 2)) / (1 - 1 / DETREND_SCANS)
    pairs = kept[1:] & kept[:-1]
    covariance = float(np.mean(rest[1:][pairs] * rest[:-1][pairs]))
    covariance += variance / DETREND_SCANS  # what the moving mean takes from it, for white noise
    correlation = covariance / variance if variance > 0 else 0.0
    spread = float(np.std(values[kept]))
    return Noise(int(np.count_nonzero(kept)), median, math.sqrt(variance), correlation, spread)


def _detrended(values: Floats, marks: Bools) -> tuple[Floats, Bools]:
    """Each value less the mean of the window around it, and where that window is marked as a whole."""
    width, half = DETREND_SCANS, DETREND_SCANS // 2
    total = np.cumsum(np.concatenate([[0.0], np.where(marks, values, 0.0)]))
    rest, kept = np.zeros(len(values)), np.zeros(len(values), dtype=np.bool_)
    rest[half:-half] = values[half:-half] - (total[width:] - total[:-width]) / width
    kept[half:-half] = _whole(marks, width)[width - 1 :]
    return rest, kept


def _whole(marks: Bools, width: int) -> Bools:
    """Which scans end `width` marked ones in a row."""
    count = np.cumsum(np.concatenate([[0], marks.astype(np.int64)]))
    found = np.zeros(len(marks), dtype=np.bool_)
    found[width - 1 :] = (count[width:] - count[:-width]) == width
    return found


@dataclass(frozen=True)
class Crossings:
    """How often a normal signal is beyond its limit at a scan, and whether that comes without memory."""

    scans: int
    beyond: int
    pairs: int  # neighbouring scans that are both beyond

    @property
    def is_white(self) -> bool:
        """Whether pairs are as frequent as chance makes them (three deviations of a Poisson count)."""
        expected = self.beyond**2 / max(1, self.scans)
        return self.beyond >= CROSSINGS_MIN and abs(self.pairs - expected) <= 3 * math.sqrt(expected) + 3


def crossings_of(beyond: Bools, normal: Bools) -> Crossings:
    """Count them where the scan is `normal`."""
    both = beyond & normal
    return Crossings(int(normal.sum()), int(both.sum()), int((both[1:] & both[:-1]).sum()))
