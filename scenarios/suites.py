"""The suites: scenarios that are run one after the other and judged as one. A suite of one scenario is a plain run."""

from __future__ import annotations

DEFAULT = "default"
"""What `shakedown accept` runs when nothing is named."""

SUITES: dict[str, tuple[str, ...]] = {
    "default": ("wan_outage", "shift_short"),
    "full": ("wan_outage", "flapping_wan", "shift", "shift_with_outages", "alarm_flood", "cmms_down"),
}
