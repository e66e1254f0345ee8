"""What survives the logger's death: how far each pipe was taken, and the lines on their way to a file.

Kept in a memfd that the master holds; each file has a region of it. Before lines are appended to the file,
the journal says at which offset, and how far every pipe is taken once they are there; so a successor compares
that with the file and knows to the byte whether they are in it. Two slots are written in turn, each with a
checksum of its own: one that a kill has torn leaves the other. Survives the death of processes, not of the
machine.

Layout of a region: slot 0, slot 1, then the payload behind its sequence number. Regions are far apart, and
the memfd is sparse.
"""

import os
import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

REGION = 1 << 28
SLOT = 128 * 1024
PAYLOAD = 2 * SLOT
HEAD = struct.Struct("=QQQQQQII")  # sequence, the batch's numbers, bytes of the path, count of places
PLACE = struct.Struct("=QQI")  # number of the pipe, taken, state
SUM = struct.Struct("=II")  # length of what is summed, its CRC-32
NUMBER = struct.Struct("=Q")

Places = Mapping[int, tuple[int, int]]


class Batch(NamedTuple):
    """Lines on their way: to which file (path, device, inode), at which offset, how many bytes; `payload` is
    the number under which they were put into the journal, 0 when nothing is on its way.
    """

    path: str = ""
    device: int = 0
    inode: int = 0
    offset: int = 0
    length: int = 0
    payload: int = 0


class Entry(NamedTuple):
    """One slot: the batch, and how far each pipe is taken when it is written: number → (bytes, state)."""

    sequence: int = 0
    batch: Batch = Batch()
    places: Places = MappingProxyType({})


class Journal:
    """One region of the journal in a descriptor (borrowed)."""

    def __init__(self, descriptor: int, region: int) -> None:
        self._fd = descriptor
        self._at = region * REGION
        slots = [_read_slot(os.pread(descriptor, SLOT, self._at + at)) for at in (0, SLOT)]
        found = [entry for entry in slots if entry is not None]
        self.entry = max(found, key=lambda entry: entry.sequence, default=Entry())

    def begin(self, batch: Batch, lines: bytes, places: Places) -> None:
        """Say what is about to be appended, before it is. Raises OSError."""
        number = self.entry.sequence + 1
        os.pwrite(self._fd, NUMBER.pack(number) + lines, self._at + PAYLOAD)
        self._write(batch._replace(length=len(lines), payload=number), places)

    def keep(self, places: Places) -> None:
        """Say how far the pipes are taken; what is on its way still is. Raises OSError."""
        self._write(self.entry.batch, places)

    def done(self, path: str) -> None:
        """Say that nothing is on its way any more. Raises OSError."""
        self._write(Batch(path), self.entry.places)

    def lines(self) -> bytes:
        """Give the lines on their way; nothing when there are none."""
        batch = self.entry.batch
        data = os.pread(self._fd, NUMBER.size + batch.length, self._at + PAYLOAD) if batch.payload else b""
        if len(data) < NUMBER.size + batch.length or NUMBER.unpack_from(data)[0] != batch.payload:
            return b""
        return data[NUMBER.size :]

    def _write(self, batch: Batch, places: Places) -> None:
        entry = Entry(self.entry.sequence + 1, batch, dict(places))
        os.pwrite(self._fd, _slot(entry), self._at + (entry.sequence % 2) * SLOT)
        self.entry = entry


def regions(descriptor: int) -> list[Journal]:
    """Give the regions in use, in order; their number is that of the next new one."""
    found: list[Journal] = []
    while (journal := Journal(descriptor, len(found))).entry.sequence:
        found.append(journal)
    return found


def _slot(entry: Entry) -> bytes:
    batch, path = entry.batch, os.fsencode(entry.batch.path)
    numbers = (batch.device, batch.inode, batch.offset, batch.length, batch.payload)
    body = [HEAD.pack(entry.sequence, *numbers, len(path), len(entry.places)), path]
    body += [PLACE.pack(number, *place) for number, place in entry.places.items()]
    data = b"".join(body)
    if len(data) + SUM.size > SLOT:
        raise ValueError(f"{len(entry.places)} pipes are more than the journal has room for")
    return SUM.pack(len(data), zlib.crc32(data)) + data


def _read_slot(slot: bytes) -> Entry | None:
    """Read a slot; None when nothing whole is there."""
    if len(slot) < SUM.size + HEAD.size:
        return None
    length, checksum = SUM.unpack_from(slot)
    data = slot[SUM.size : SUM.size + length]
    if length < HEAD.size or len(data) < length or zlib.crc32(data) != checksum:
        return None
    sequence, *numbers, named, count = HEAD.unpack_from(data)
    path = os.fsdecode(data[HEAD.size : HEAD.size + named])
    at = HEAD.size + named
    places = {}
    for _ in range(count):
        number, taken, state = PLACE.unpack_from(data, at)
        places[number] = (taken, state)
        at += PLACE.size
    return Entry(sequence, Batch(path, *numbers), places)
