"""Named streams of random numbers: each cause of chance draws from its own, so that adding one changes no other."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from shakedown.twin.line.quantities import Duration

MS_PER_S = 1_000


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator called `name` under `seed`; the key is a digest of the name, never Python's `hash`."""
    digest = hashlib.sha256(name.encode()).digest()
    key = tuple(int.from_bytes(digest[at : at + 4], "big") for at in range(0, 16, 4))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


class Durations:
    """Draws durations in whole milliseconds, one at least."""

    def __init__(self, duration: Duration, generator: np.random.Generator) -> None:
        self._generator = generator
        self._mean_ms = duration.mean_s * MS_PER_S
        self._distribution = duration.distribution
        variance = math.log1p((duration.cv or 0.0) ** 2)  # of the logarithm
        self._sigma = math.sqrt(variance)
        self._mu = math.log(self._mean_ms) - variance / 2

    def draw_ms(self, factor: float = 1.0) -> int:
        """One duration, `factor` times as long as the plant file says."""
        if self._distribution == "constant":
            drawn_ms = self._mean_ms
        elif self._distribution == "exponential":
            drawn_ms = self._generator.standard_exponential() * self._mean_ms
        else:
            drawn_ms = self._generator.lognormal(self._mu, self._sigma)
        return max(1, round(drawn_ms * factor))
