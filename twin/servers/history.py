"""HistoryRead of raw values (Part 11, 6.5.3) out of the tags' bounded memory.

asyncua's own storages lose or repeat values at a continuation point (it is a bare timestamp, and several values may
share one), give no continuation point where NumValuesPerNode cuts the answer short, and answer Good for a node that has
no history.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.history import HistoryManager

from shakedown.twin.servers import encoding
from shakedown.twin.servers.bounded_server import BoundedServer
from shakedown.twin.servers.monitored_item import Sample
from shakedown.twin.servers.tag import TagValue


class Continuation(NamedTuple):
    """Where to go on: after the k-th value of a source timestamp. It needs no memory here, so none can run out."""

    source_ticks: int
    returned: int

    @classmethod
    def decode(cls, point: bytes) -> Continuation:
        """The continuation point that a client sends back; BadContinuationPointInvalid if it is not one of ours."""
        try:
            return cls(*struct.unpack("<qI", point))
        except struct.error:
            raise ServiceError(ua.StatusCodes.BadContinuationPointInvalid) from None

    def encode(self) -> bytes:
        """As sent to the client."""
        return struct.pack("<qI", *self)


def read_raw(
    samples: list[Sample], start: int | None, end: int | None, limit: int, after: Continuation | None
) -> tuple[list[Sample], Continuation | None]:
    """The values between two source timestamps in ticks, both inclusive, at most `limit` of them.

    Backwards in time if `end` is before `start`, or if only `end` is given. A continuation means that there are more.
    """
    backwards = start is None or (end is not None and end < start)
    low, high = (end, start) if start is not None and end is not None and backwards else (start, end)
    chosen = [
        s
        for s in samples
        if (low is None or s.source_ticks >= low) and (high is None or s.source_ticks <= high)
    ]
    chosen.sort(key=lambda s: s.source_ticks, reverse=backwards)
    if after is not None:
        sign = -1 if backwards else 1
        same = after.returned
        rest = []
        for sample in chosen:
            distance = sign * (sample.source_ticks - after.source_ticks)
            if distance == 0 and same > 0:
                same -= 1
            elif distance >= 0:
                rest.append(sample)
        chosen = rest
    if len(chosen) <= limit:
        return chosen, None
    page = chosen[:limit]
    last = page[-1].source_ticks
    returned = sum(1 for s in page if s.source_ticks == last)
    if after is not None and after.source_ticks == last:
        returned += after.returned
    return page, Continuation(last, returned)


class RawHistory(HistoryManager):
    """Answers HistoryRead from the tags in the address space.

    Bounding values (ReturnBounds) are never added: what is returned is what was offered, and nothing else.
    """

    iserver: BoundedServer

    async def read_history(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """HistoryRead (Part 4, 5.11.3): one result per node."""
        if params.ReleaseContinuationPoints:
            return [ua.HistoryReadResult() for _ in params.NodesToRead]
        details = params.HistoryReadDetails
        if not isinstance(details, ua.ReadRawModifiedDetails):
            raise ServiceError(ua.StatusCodes.BadHistoryOperationUnsupported)
        page = max(self.iserver.limits.history_values_per_read // len(params.NodesToRead), 1)
        results = []
        for node in params.NodesToRead:
            try:
                results.append(self._read_node(node, details, page))
            except ServiceError as error:
                results.append(ua.HistoryReadResult(StatusCode=ua.StatusCode(error.code)))
        return results

    def _read_node(
        self, node: ua.HistoryReadValueId, details: ua.ReadRawModifiedDetails, page: int
    ) -> ua.HistoryReadResult:
        data = self.iserver.aspace.get(node.NodeId)
        if data is None:
            raise ServiceError(ua.StatusCodes.BadNodeIdUnknown)
        tag = data.attributes.get(ua.AttributeIds.Value)
        if not isinstance(tag, TagValue) or details.IsReadModified:
            raise ServiceError(ua.StatusCodes.BadHistoryOperationUnsupported)
        start, end = _ticks(details.StartTime), _ticks(details.EndTime)
        if (start is None) + (end is None) + (details.NumValuesPerNode == 0) > 1:
            raise ServiceError(ua.StatusCodes.BadInvalidArgument)
        after = Continuation.decode(node.ContinuationPoint) if node.ContinuationPoint else None
        limit = min(details.NumValuesPerNode or page, page)
        samples, more = read_raw(list(tag.history), start, end, limit, after)
        result = ua.HistoryReadResult(HistoryData=encoding.history_data([s.encoded for s in samples]))
        if more is not None:
            result.ContinuationPoint = more.encode()
        elif not samples:
            result.StatusCode = ua.StatusCode(ua.StatusCodes.GoodNoData)
        return result


def _ticks(stamp: Any) -> int | None:
    """DateTime in ticks; the minimum means that it was not given."""
    return ua.datetime_to_win_epoch(stamp) or None if stamp is not None else None
