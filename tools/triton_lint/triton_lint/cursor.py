"""A place in the tokens, and ways to get past what can't be read."""

from triton_lint.tokens import Token, TokenKind


class Cursor:
    """The tokens of a text and the index of the next one."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0

    def skip_value(self) -> None:
        """Past the value of a field that isn't known, whatever its type."""
        token = self.tokens[self.index]
        if token.text == ":":
            self.index += 1
            token = self.tokens[self.index]
        if token.text in "{<[" and is_symbol(token):
            self.skip_group()
            return
        if token.text == "-":
            self.index += 1
        if self.tokens[self.index].kind == TokenKind.STRING:
            while self.tokens[self.index].kind == TokenKind.STRING:
                self.index += 1
        elif self.tokens[self.index].kind not in (TokenKind.END, TokenKind.SYMBOL):
            self.index += 1

    def skip_group(self) -> None:
        """Past a bracket and all up to its partner."""
        depth = 0
        while (token := self.tokens[self.index]).kind != TokenKind.END:
            if token.kind == TokenKind.SYMBOL:
                depth += (token.text in "{<[") - (token.text in "}>]")
            self.index += 1
            if depth <= 0:
                return

    def skip_to_next_field(self, closing: str) -> None:
        """To what looks like the next field, or to the end of this message or one around it."""
        while (token := self.tokens[self.index]).kind != TokenKind.END:
            if token.kind == TokenKind.SYMBOL:
                if token.text in (closing, "}", ">"):
                    return
                if token.text in "{<[":
                    self.skip_group()
                    continue
            follower = self.tokens[self.index + 1]
            if token.kind == TokenKind.NAME and follower.text in (":", "{", "<"):
                return
            self.index += 1


def is_symbol(token: Token) -> bool:
    return token.kind == TokenKind.SYMBOL
