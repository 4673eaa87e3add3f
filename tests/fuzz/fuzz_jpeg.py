"""Fuzz target: JPEG files."""

from tests.fuzz.decoding import decode_or_refuse, fuzz, seeds

if __name__ == "__main__":
    fuzz(decode_or_refuse, seeds(b"\xff\xd8\xff"))
