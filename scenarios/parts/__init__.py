"""The parts of a lab: one file for each kind, listed in table.py."""
