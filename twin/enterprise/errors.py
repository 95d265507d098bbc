"""What goes wrong with a lab service."""


class LabServiceError(Exception):
    """A lab service cannot do what was asked; the message says what, where and what to do."""
