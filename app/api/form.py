"""Forms with files, read while they come. Files stay in memory: photos never touch a disk, and the
body is capped already."""

import codecs
import re
from collections.abc import AsyncIterable, Mapping
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MOST_FILES: Final = 200
MOST_TEXTS: Final = 50
MOST_TEXT: Final = 1_048_576
"""Bytes of a field that is no file."""

# How nearly every client writes it; whatever else is allowed is read by the library.
_PLAIN: Final = re.compile(rb'form-data; name="([A-Za-z0-9_]+)"(; filename="[^"\\%\r\n]*")?')


class FormBroken(Exception):
    """The form cannot be read; its words are for the caller."""


class Form:
    """A form's parts by name, in the order in which they came: bytes of files, text of the rest."""

    def __init__(self, content_type: str) -> None:
        """Raises FormBroken where `content_type` names no boundary that can be one."""
        _, options = parse_options_header(content_type)
        if not options.get(b"boundary"):
            raise FormBroken("Missing boundary in multipart.")
        self.parts: dict[str, list[str | bytes]] = {}
        self._charset = _codec(options)
        self._files = self._texts = 0
        self._is_file = False
        self._name = ""
        self._header = self._value = b""
        self._disposition = b""
        self._size = 0
        self._pieces: list[bytes] = []
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_header,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_part_end": self._end,
                },
            )
        except FormParserError:
            raise FormBroken("Invalid boundary in multipart.") from None

    async def read(self, body: AsyncIterable[bytes]) -> Mapping[str, list[str | bytes]]:
        """The parts of the whole body. Raises FormBroken."""
        try:
            async for chunk in body:
                self._parser.write(chunk)
            self._parser.finalize()
        except FormParserError:
            raise FormBroken("Invalid multipart data.") from None
        return self.parts

    def _begin(self) -> None:
        self._disposition = b""
        self._size = 0
        self._pieces = []

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        if plain := _PLAIN.fullmatch(self._disposition):
            self._name, self._is_file = plain[1].decode("ascii"), plain[2] is not None
        else:
            _, options = parse_options_header(self._disposition)
            if b"name" not in options:
                raise FormBroken('The Content-Disposition header field "name" must be provided.')
            self._name = _text(options[b"name"], self._charset)
            self._is_file = b"filename" in options
        self._files += self._is_file
        self._texts += not self._is_file
        if self._files > MOST_FILES:
            raise FormBroken(f"Too many files. Maximum number of files is {MOST_FILES}.")
        if self._texts > MOST_TEXTS:
            raise FormBroken(f"Too many fields. Maximum number of fields is {MOST_TEXTS}.")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if not self._is_file and self._size > MOST_TEXT:
            raise FormBroken(f"Part exceeded maximum size of {MOST_TEXT // 1024}KB.")
        self._pieces.append(data[start:end])

    def _end(self) -> None:
        value = b"".join(self._pieces)
        self._pieces = []
        self.parts.setdefault(self._name, []).append(
            value if self._is_file else _text(value, self._charset)
        )


def _codec(options: Mapping[Any, bytes]) -> str:
    try:
        return codecs.lookup(options.get(b"charset", b"utf-8").decode("latin-1")).name
    except LookupError:
        return "latin-1"


def _text(raw: bytes, charset: str) -> str:
    try:
        return raw.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return raw.decode("latin-1")
