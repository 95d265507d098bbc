"""The rules of a Sparkplug B 3.0 session: how strong each is, what it says, and the ids of the specification behind it.

`history_order` is a rule of the lab: of history the specification orders nothing.

grammar.py holds an edge node to what its messages show by themselves, session_claims.py to what the run shows of them.
"""

from __future__ import annotations

RULES: dict[str, tuple[str, str, str]] = {
    "payload": ("MUST", "every payload of the edge node can be decoded", "chapter 6"),
    "nbirth_first": ("MUST", "nothing before the NBIRTH of a session", "topics-nbirth, message-flow-edge-node-birth"),
    "nbirth_content": ("MUST", "NBIRTH has timestamp, seq, bdSeq and Node Control/Rebirth = false", "payloads-nbirth"),
    "seq": ("MUST", "seq rises by one from message to message, 255 to 0", "payloads-sequence-num"),
    "bdseq": ("MUST", "NBIRTH repeats the bdSeq of the Will, and every CONNECT has a new one", "topics-nbirth-bdseq"),
    "ndeath": ("MUST", "every session that ends has an NDEATH, as a Will or said", "intentional-disconnect-ndeath"),
    "birth_current": ("MUST", "a birth shows nothing older than what was sent live before it", "topics-dbirth-metrics"),
    "dbirth_first": ("MUST", "no data of a device before its DBIRTH", "payloads-dbirth"),
    "birth_metrics": ("MUST", "data only of metrics that a birth has named", "operational-behavior-data-publish"),
    "birth_types": ("MUST", "every metric of a birth has name and datatype", "payloads-name-birth-data-requirement"),
    "alias_unique": ("MUST", "an alias stands for one metric of node and devices", "payloads-alias-uniqueness"),
    "timestamps": ("MUST", "data carry a timestamp and each metric its own", "payloads-ndata-timestamp"),
    "rebirth": ("MUST", "births follow a rebirth command", "operational-behavior-data-commands-rebirth"),
    "rebirth_quiet": ("MUST", "no data between a rebirth command and the births", "commands-rebirth-action-1"),
    "historical": ("MUST", "what is older than a live sample is is_historical", "payloads-metric-is-historical"),
    "qos_retain": ("MUST", "births and data QoS 0, the Will QoS 1, none retained", "topics-*-mqtt"),
    "birth_model": ("MUST", "births show datatype, unit, range of site.yaml", "payloads-name-birth-data"),
    "birth_cause": ("MUST", "births follow a connection, a command, STATE or a return", "edge-node-birth-publish"),
    "host_offline": ("MUST", "no births and data while the primary host is offline", "edge-node-birth-publish-phid"),
    "death_cause": ("MUST", "NDEATH and DDEATH are said of what is gone", "operational-behavior-device-ddeath"),
    "ddeath": ("MUST", "a device whose source is lost has a DDEATH", "operational-behavior-device-ddeath"),
    "payload_time": ("MUST", "the timestamp of a payload is when it was published", "payloads-timestamp-in-UTC"),
    "history_order": ("MUST", "the history of a metric comes in its order", "docs/criteria.md, session"),
    "death_metrics": ("SHOULD", "NDEATH holds bdSeq alone and no seq", "payloads-ndeath"),
    "nbirth_seq_zero": ("SHOULD", "NBIRTH has seq 0", "topics-nbirth-seq-num"),
    "alias_only": ("SHOULD", "data of an aliased metric carry the alias alone", "payloads-alias-data-cmd-requirement"),
    "data_datatype": ("SHOULD", "data carry no datatype", "payloads-metric-datatype-not-req"),
    "rebirth_alias": ("SHOULD", "Node Control/Rebirth has no alias", "topics-nbirth-rebirth-metric"),
}  # fmt: skip
