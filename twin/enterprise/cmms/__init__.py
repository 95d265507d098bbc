"""The embedded CMMS: assets, assignments, work orders, webhooks; HTTP and JSON over SQLite (docs/cmms.md)."""
