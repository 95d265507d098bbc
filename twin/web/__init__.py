"""A plant served on its own, for whoever develops a client of it (docs/twin.md)."""
