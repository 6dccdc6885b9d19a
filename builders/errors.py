"""The error of build time: a message for the user, no traceback."""


class BuildError(Exception):
    """What was asked, what was found, what is possible."""


class CommandError(BuildError):
    """A command of a build failed: the end of the log says why."""
