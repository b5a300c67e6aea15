"""The one exception that a script turns into a line of text and exit code 2."""


class BadInput(Exception):
    """Input that cannot be used; the message is one line that names it, says what was expected, and suggests a fix."""
