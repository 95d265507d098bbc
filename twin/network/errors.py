"""What goes wrong with a network of the lab."""


class NetworkError(ValueError):
    """The topology does not have what was asked for: unknown host, name taken, no conduit."""


class NetworkFault(RuntimeError):
    """The network of the lab did not do what it was told: a defect of the harness or of its proxy server.

    Never to be blamed on the bridge: a run in which it is raised is a harness fault (exit code 4).
    """
