"""Text from elsewhere, made fit for a terminal."""

from unicodedata import category


def printable(text: str) -> str:
    """The text without control characters: documents and models must not steer a terminal."""
    return "".join(char for char in text if char in "\n\t" or category(char) != "Cc")
