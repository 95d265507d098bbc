"""MonitoredItem Service Set of one subscription (Part 4, 5.13), filters validated (7.22).

Event items stay asyncua's; SetTriggering (5.13.5) is offered by neither.
"""

from __future__ import annotations

import math
from typing import Protocol

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.address_space import AddressSpace, AttributeValue
from asyncua.server.monitored_item_service import MonitoredItemService as AsyncuaMonitoredItemService
from asyncua.ua.uaprotocol_auto import DataChangeFilter  # what is decoded; ua.DataChangeFilter is a subclass

from shakedown.twin.servers import encoding
from shakedown.twin.servers.limits import OpcUaLimits
from shakedown.twin.servers.monitored_item import (
    Changed,
    MonitoredItem,
    Reporting,
    Sample,
    deadband_exceeded,
    status_changed,
    status_or_value_changed,
    status_value_or_timestamp_changed,
)
from shakedown.twin.servers.tag import TagValue

_TRIGGERS: dict[ua.DataChangeTrigger, Changed] = {
    ua.DataChangeTrigger.Status: status_changed,
    ua.DataChangeTrigger.StatusValue: status_or_value_changed,
    ua.DataChangeTrigger.StatusValueTimestamp: status_value_or_timestamp_changed,
}


class Publishing(Reporting, Protocol):
    """The subscription whose items these are."""

    limits: OpcUaLimits
    data: ua.CreateSubscriptionResult


class MonitoredItemService(AsyncuaMonitoredItemService):
    """The monitored items of one subscription."""

    def __init__(self, subscription: Publishing, address_space: AddressSpace) -> None:
        super().__init__(subscription, address_space)
        self.subscription = subscription
        self.limits = subscription.limits
        self.items: dict[int, MonitoredItem] = {}

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """CreateMonitoredItems (5.13.2): one result per item; a bad one leaves the others alone."""
        results = []
        for request in params.ItemsToCreate:
            try:
                if (
                    len(self.items) + len(self._monitored_items)
                    >= self.limits.monitored_items_per_subscription
                ):
                    raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
                if request.ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier:
                    results.append(self._create_event_item(request))
                else:
                    results.append(self._create_data_item(request))
            except ServiceError as error:
                results.append(ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(error.code)))
        return results

    def _create_event_item(self, request: ua.MonitoredItemCreateRequest) -> ua.MonitoredItemCreateResult:
        if not isinstance(request.RequestedParameters.Filter, ua.EventFilter):
            raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterInvalid)
        if request.ItemToMonitor.NodeId not in self.aspace:
            raise ServiceError(ua.StatusCodes.BadNodeIdUnknown)
        return self._create_events_monitored_item(request)

    def _create_data_item(self, request: ua.MonitoredItemCreateRequest) -> ua.MonitoredItemCreateResult:
        target, wanted = request.ItemToMonitor, request.RequestedParameters
        attribute = self._attribute(target)
        changed = self._filter(target, wanted.Filter)
        self._monitored_item_counter += 1
        item = MonitoredItem(
            self.subscription,
            self._monitored_item_counter,
            target.NodeId,
            ua.AttributeIds(target.AttributeId),
        )
        item.changed = changed
        item.client_handle = wanted.ClientHandle
        status, item.callback_handle = self.aspace.add_datachange_callback(item.node_id, item.attribute, item)
        if not status.is_good():
            raise ServiceError(status.value)
        self.items[item.monitored_item_id] = item
        result = ua.MonitoredItemCreateResult(MonitoredItemId=item.monitored_item_id)
        result.RevisedSamplingInterval = self._sampling(item, attribute, wanted.SamplingInterval)
        result.RevisedQueueSize = item.queue_size = self._queue_size(wanted.QueueSize)
        item.discard_oldest = wanted.DiscardOldest
        item.set_mode(ua.MonitoringMode(request.MonitoringMode))
        item.restart(self._current(item))
        return result

    def _attribute(self, target: ua.ReadValueId) -> AttributeValue:
        node = self.aspace.get(target.NodeId)
        if node is None:
            raise ServiceError(ua.StatusCodes.BadNodeIdUnknown)
        if target.AttributeId not in node.attributes:
            raise ServiceError(ua.StatusCodes.BadAttributeIdInvalid)
        if target.IndexRange:
            raise ServiceError(ua.StatusCodes.BadIndexRangeInvalid)
        return node.attributes[target.AttributeId]

    def _current(self, item: MonitoredItem) -> Sample:
        attribute = self.aspace[item.node_id].attributes[item.attribute]
        if isinstance(attribute, TagValue):
            return attribute.sample
        return Sample.of(self.aspace.read_attribute_value(item.node_id, item.attribute))

    def _queue_size(self, requested: int) -> int:
        """QueueSize (7.21): 0 asks for the default, and the default for data is a queue of one."""
        return min(max(requested, 1), self.limits.queue_size_max)

    def _sampling(self, item: MonitoredItem, attribute: AttributeValue, requested_ms: float) -> float:
        """SamplingInterval (5.13.1.2): -1 is the publishing interval, 0 exception-based, else at least the scan."""
        scan_ms = attribute.scan_ms if isinstance(attribute, TagValue) else 0.0
        if requested_ms < 0:
            requested_ms = self.subscription.data.RevisedPublishingInterval
        if requested_ms == 0 or math.isnan(requested_ms):
            revised_ms = scan_ms
        elif scan_ms:
            scans = max(math.ceil(min(requested_ms, self.limits.sampling_interval_ms_max) / scan_ms), 1)
            revised_ms = scans * scan_ms
        else:
            revised_ms = min(
                max(requested_ms, self.limits.sampling_interval_ms_min), self.limits.sampling_interval_ms_max
            )
        item.sample_every(revised_ms, scan_ms, self.subscription.now_ns())
        return revised_ms

    def _filter(self, target: ua.ReadValueId, wanted: object) -> Changed:
        """DataChangeFilter (7.22.2), or the code with which the item is refused."""
        if wanted is None or (isinstance(wanted, ua.ExtensionObject) and wanted.TypeId.is_null()):
            return status_or_value_changed
        if isinstance(wanted, ua.EventFilter):
            raise ServiceError(ua.StatusCodes.BadFilterNotAllowed)
        if not isinstance(wanted, DataChangeFilter):
            raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
        if wanted.DeadbandType == ua.DeadbandType.None_:
            return _TRIGGERS[wanted.Trigger]
        if wanted.DeadbandType not in (ua.DeadbandType.Absolute, ua.DeadbandType.Percent):
            raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
        band = wanted.DeadbandValue
        if not band >= 0 or math.isinf(band):
            raise ServiceError(ua.StatusCodes.BadDeadbandFilterInvalid)
        if not self._is_numeric(target):
            raise ServiceError(ua.StatusCodes.BadFilterNotAllowed)
        if wanted.DeadbandType == ua.DeadbandType.Percent:
            if band > 100:
                raise ServiceError(ua.StatusCodes.BadDeadbandFilterInvalid)
            band *= self._eu_range(target.NodeId) / 100
        return status_changed if wanted.Trigger == ua.DataChangeTrigger.Status else deadband_exceeded(band)

    def _is_numeric(self, target: ua.ReadValueId) -> bool:
        if target.AttributeId != ua.AttributeIds.Value:
            return False
        attribute = self.aspace[target.NodeId].attributes[ua.AttributeIds.Value]
        if isinstance(attribute, TagValue):
            return attribute.signal.data_type in encoding.NUMERIC
        value = self.aspace.read_attribute_value(target.NodeId, ua.AttributeIds.Value).Value
        return value is not None and not value.is_array and value.VariantType.name in encoding.NUMERIC

    def _eu_range(self, node_id: ua.NodeId) -> float:
        """Span of the node's EURange property; without one a percent deadband means nothing."""
        for reference in self.aspace[node_id].references:
            if reference.IsForward and reference.BrowseName == ua.QualifiedName("EURange", 0):
                value = self.aspace.read_attribute_value(reference.NodeId, ua.AttributeIds.Value).Value
                if (
                    value is not None
                    and isinstance(value.Value, ua.Range)
                    and value.Value.High > value.Value.Low
                ):
                    return value.Value.High - value.Value.Low
        raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterUnsupported)

    def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        """ModifyMonitoredItems (5.13.3): one result per item; a bad one stays as it was."""
        results = []
        for request in params.ItemsToModify:
            try:
                item = self.items.get(request.MonitoredItemId)
                if item is None:
                    raise ServiceError(ua.StatusCodes.BadMonitoredItemIdInvalid)
                results.append(self._modify_data_item(item, request.RequestedParameters))
            except ServiceError as error:
                results.append(ua.MonitoredItemModifyResult(StatusCode=ua.StatusCode(error.code)))
        return results

    def _modify_data_item(
        self, item: MonitoredItem, wanted: ua.MonitoringParameters
    ) -> ua.MonitoredItemModifyResult:
        target = ua.ReadValueId(NodeId=item.node_id, AttributeId=item.attribute)
        attribute = self._attribute(target)
        item.changed = self._filter(target, wanted.Filter)
        item.client_handle = wanted.ClientHandle
        result = ua.MonitoredItemModifyResult()
        result.RevisedSamplingInterval = self._sampling(item, attribute, wanted.SamplingInterval)
        result.RevisedQueueSize = self._queue_size(wanted.QueueSize)
        item.resize(result.RevisedQueueSize, wanted.DiscardOldest)
        return result

    async def set_monitoring_mode(self, mode: ua.MonitoringMode, ids: list[int]) -> list[ua.StatusCode]:
        """SetMonitoringMode (5.13.4)."""
        results = []
        for item_id in ids:
            item = self.items.get(item_id)
            if item is None:
                results.append(await self._set_monitoring_mode(mode, item_id))
                continue
            was_disabled = item.mode == ua.MonitoringMode.Disabled
            item.set_mode(mode)
            if was_disabled:
                item.restart(self._current(item))
            results.append(ua.StatusCode())
        return results

    def delete_monitored_items(self, ids: list[int]) -> list[ua.StatusCode]:
        """DeleteMonitoredItems (5.13.6)."""
        results = []
        for item_id in ids:
            item = self.items.pop(item_id, None)
            if item is None:
                results.append(self._delete_monitored_items(item_id))
                continue
            item.clear()
            self.aspace.delete_datachange_callback(item.callback_handle)
            results.append(ua.StatusCode())
        return results

    def delete_all_monitored_items(self) -> None:
        """Every item, of data and of events."""
        self.delete_monitored_items([*self.items, *self._monitored_items])

    def send_initial_values(self) -> None:
        """SendInitialValues of a transfer (5.14.7): the current value of every reporting item that has none queued."""
        for item in self.items.values():
            if item.mode == ua.MonitoringMode.Reporting and not item.queue:
                item.restart(self._current(item))
