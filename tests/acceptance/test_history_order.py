"""The order of history: a row takes the series that fewer rows may belong to."""

from __future__ import annotations

from shakedown.acceptance.history_order import HistoryOrder
from shakedown.acceptance.spans import MS

METRIC = ("cell.a", "temperature")


def test_what_the_source_has_filled_in_does_not_stand_in_the_way_of_what_is_sent_once_more() -> None:
    """Never sent 300..400; filled in later 200..250; then all that was sent before 250, once more."""
    order = HistoryOrder(lambda ns: 200 * MS <= ns < 300 * MS)
    order.births(250 * MS, asked_again=False)
    for ts_ms in (*range(300, 401, 50), *range(200, 251, 10), *range(0, 201, 20)):
        assert order.take(METRIC, ts_ms) is None, ts_ms
    assert order.take(METRIC, 20) == 400, "but a third time is one too many"
