"""Sensors: what a measured quantity looks like after noise, resolution, range and the type of the tag."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shakedown.twin.line.physics import Floats
from shakedown.twin.line.randomness import stream
from shakedown.twin.line.signal_spec import INTEGERS, SignalSpec

NOISE_BLOCK = 512
"""Scans whose noise is drawn at once."""


class Sensors:
    """All sensors of a line; `read` turns true quantities into the numbers that the controllers show.

    A Float tag is rounded to single precision here, so that what the ledger says is what travels.
    """

    def __init__(self, measured: Mapping[str, SignalSpec], seed: int) -> None:
        specs = list(measured.values())
        sources = [spec.response or spec.totaliser for spec in specs]
        ranges = [spec.range or [-np.inf, np.inf] for spec in specs]
        self._noise = [stream(seed, f"{name}/noise") for name in measured]
        self._deviation = np.array([spec.response.noise if spec.response else 0.0 for spec in specs])
        self._steps = np.array([1.0 / source.resolution for source in sources if source is not None])
        self._low = np.array([low for low, _ in ranges])
        self._high = np.array([high for _, high in ranges])
        self._single = np.array([spec.type == "Float" for spec in specs], dtype=bool)
        self._whole = [place for place, spec in enumerate(specs) if spec.type in INTEGERS]
        self._block = np.zeros((0, len(specs)))
        self._row = 0

    def read(self, quantities: Floats) -> list[float | int]:
        """One reading of each sensor, in the order of the specifications."""
        if self._row == len(self._block):
            drawn = [noise.standard_normal(NOISE_BLOCK) for noise in self._noise]
            self._block = np.array(drawn).reshape(len(drawn), NOISE_BLOCK).T * self._deviation
            self._row = 0
        noisy = np.clip(quantities + self._block[self._row], self._low, self._high)
        self._row += 1
        shown = np.rint(noisy * self._steps) / self._steps + 0.0  # no negative zero
        shown = np.where(self._single, shown.astype(np.float32), shown)
        readings: list[float | int] = shown.tolist()
        for place in self._whole:
            readings[place] = int(readings[place])
        return readings
