"""Decodes base64 that stands in a JSON string, in the parts in which it comes. Keeps at most a few letters."""

import binascii

_QUAD = 4


class Base64Text:
    """One image's text. `rest` is what was not decoded: all that came since `decode` raised ValueError."""

    def __init__(self) -> None:
        self.rest = b""
        self._has_ended = False  # padding came

    def decode(self, part: bytes | bytearray | memoryview) -> bytes:
        """The bytes that `part` completes. Raises ValueError for what is no base64."""
        text = self.rest + bytes(part)
        self.rest = text  # if it fails
        escape = b""
        if b"\\" in text:
            if (len(text) - len(text.rstrip(b"\\"))) % 2:
                text, escape = text[:-1], b"\\"  # the letter it belongs to comes later
            text = text.replace(b"\\/", b"/").replace(b"\\n", b"").replace(b"\\r", b"")
        if text and self._has_ended:
            raise ValueError("more base64 after its padding")
        whole = len(text) // _QUAD * _QUAD
        decoded = binascii.a2b_base64(text[:whole], strict_mode=True) if whole else b""
        self._has_ended = text[:whole].endswith(b"=")
        self.rest = text[whole:] + escape
        return decoded

    @property
    def is_whole(self) -> bool:
        """Whether the text may end here."""
        return not self.rest
