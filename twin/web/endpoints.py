"""Where a plant is served: the file that tells programs."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal

from shakedown.twin.web.overview import Told


class Endpoints(Told):
    """Where one plant is served, by which process, since when (ms since the Unix epoch); `cmms` may be null."""

    format: Literal[1] = 1
    plant: str
    pid: int
    started_ms: int
    opcua: str
    http: str
    cmms: str | None = None

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises OSError."""
        partial = path.with_name(f".{path.name}.{self.pid}")
        try:
            partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def remove(self, path: Path) -> None:
        """Remove the file, unless another process has written its own there meanwhile."""
        with contextlib.suppress(OSError, ValueError):
            if Endpoints.model_validate_json(path.read_bytes()) == self:
                path.unlink()
