"""Fuzz target: PNG files, as they come and with their checksums made right.

Without the second, hardly a change would get past the first checksum.
"""

import zlib

from tests.fuzz.decoding import decode_or_refuse, fuzz, seeds


def decode_twice(data: bytes) -> None:
    decode_or_refuse(data)
    decode_or_refuse(with_right_checksums(data))


def with_right_checksums(png: bytes) -> bytes:
    right, at = bytearray(png), 8
    while at + 12 <= len(right):
        end = at + 8 + int.from_bytes(right[at : at + 4], "big")
        if end + 4 > len(right):
            break
        right[end : end + 4] = zlib.crc32(right[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(right)


if __name__ == "__main__":
    fuzz(decode_twice, seeds(b"\x89PNG\r\n\x1a\n"))
