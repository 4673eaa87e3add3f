"""Writes RecordIO files, by the description of dmlc-core's ``recordio.h``."""

import struct
from collections.abc import Sequence
from pathlib import Path

MAGIC = struct.pack("<I", 0xCED7230A)


def record(payload: bytes) -> bytes:
    """One record, in parts where the magic number lies in the payload at a multiple of four."""
    pieces = [b""]
    for at in range(0, len(payload), 4):
        word = payload[at : at + 4]
        if word == MAGIC:
            pieces.append(b"")
        else:
            pieces[-1] += word
    flags = [0] if len(pieces) == 1 else [1, *[2] * (len(pieces) - 2), 3]
    return b"".join(
        MAGIC + struct.pack("<I", flag << 29 | len(piece)) + piece + bytes(-len(piece) % 4)
        for flag, piece in zip(flags, pieces, strict=True)
    )


def entry(content: bytes, *labels: float) -> bytes:
    """A payload of InsightFace: one label in its head, several behind it."""
    if len(labels) == 1:
        return struct.pack("<IfQQ", 0, labels[0], 7, 0) + content
    return struct.pack(f"<IfQQ{len(labels)}f", len(labels), 0.0, 7, 0, *labels) + content


def write(path: Path, payloads: Sequence[tuple[int, bytes]]) -> Path:
    """Records in this order, and their index, which real ones do not sort either."""
    offset = 0
    lines = []
    with path.open("wb") as file:
        for key, payload in payloads:
            lines.append(f"{key}\t{offset}\n")
            offset += file.write(record(payload))
    path.with_suffix(".idx").write_text("".join(reversed(lines)))
    return path


def write_faces(path: Path, people: Sequence[Sequence[bytes]]) -> Path:
    """A set as InsightFace lays it out: pictures, identities, and the header at the end."""
    pictures = [
        (picture, float(label)) for label, person in enumerate(people) for picture in person
    ]
    payloads = [(key, entry(content, label)) for key, (content, label) in enumerate(pictures, 1)]
    first = len(payloads) + 1
    begin = 1
    for number, person in enumerate(people):
        payloads.append((first + number, entry(b"", begin, begin + len(person))))
        begin += len(person)
    payloads.append((0, entry(b"", first, first + len(people))))
    return write(path, payloads)
