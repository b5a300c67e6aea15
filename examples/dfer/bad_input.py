"""The one exception that a script turns into a line of text and exit code 2."""


class BadInput(Exception):
    """What the user gave cannot be used; the message is one line that names it, what was expected, and the mend."""
