"""What the command lines of the scripts share: the layout of --help, and a type of values."""

import argparse
import textwrap


class Paragraphs(argparse.HelpFormatter):
    """Wraps each paragraph of a description by itself and keeps indented lines, which are commands."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        wrapped = (textwrap.fill(each, width, break_on_hyphens=False) for each in paragraphs)
        return "\n\n".join(own if own.startswith(" ") else new for own, new in zip(paragraphs, wrapped, strict=True))


def whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return int(text)
