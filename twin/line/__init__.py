"""A production line in SimPy: machines, conveyors, reservoirs, and the signals that show what they do."""
