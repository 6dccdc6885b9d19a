"""Tokens in messages and repairs."""

from triton_lint.schema import FieldType, Kind
from triton_lint.tokens import Token, TokenKind


def requoted(token: Token, field_type: FieldType) -> str | None:
    """The value with quotes, or without, where only these are wrong."""
    inside = token.text[1:-1]
    if field_type.kind is Kind.STRING and token.kind == TokenKind.NAME:
        return f'"{token.text}"'
    if token.kind == TokenKind.STRING and field_type.kind is Kind.INTEGER and inside.isdecimal():
        return inside
    is_enum = field_type.enum is not None and inside in field_type.enum.numbers
    if token.kind == TokenKind.STRING and (is_enum or inside in ("true", "false")):
        return inside if is_enum or field_type.kind is Kind.BOOL else None
    return None


def quoted(token: Token) -> str:
    if token.kind == TokenKind.END:
        return "the end of the file"
    text = token.text if len(token.text) <= 40 else f"{token.text[:40]}…"
    return text if token.kind == TokenKind.STRING else f"'{character(text)}'"


def character(text: str) -> str:
    """Text, with what can't be printed as escapes."""
    return text if text.isprintable() else text.encode("unicode_escape", "replace").decode()
