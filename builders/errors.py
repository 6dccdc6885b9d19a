"""The one error of build time: a message for the user, no traceback."""


class BuildError(Exception):
    """What was asked, what was found, what is possible."""


class Refusal(BuildError):
    """Raised within a step: the checkpoint can't be served. It says all, so no log is shown."""
