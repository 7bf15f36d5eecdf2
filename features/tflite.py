"""Adds a metadata block to a TFLite network, byte for byte the same on every machine.

MediaPipe Tasks wants to be told how to scale the image of a network, in a block that the network of an older release
does not have. A network is a FlatBuffer: tables that point forward to others. The new parts are put in front, with
pointers into the network, which stays as it is. The library flatbuffers, which would pack it all anew, gives other
bytes from one release to the next, and then no checksum would hold.

Formats: https://flatbuffers.dev/internals, and schema.fbs and metadata_schema.fbs of TensorFlow Lite, of which the
slots below are.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# Data of a network must lie at multiples of this.
_ALIGNMENT = 16

# Slots of the tables.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_MODEL_TABLES = (1, 2, 3, _MODEL_BUFFERS, 5, _MODEL_METADATA, 7)
_BUFFER_DATA = 0
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_NORMALIZATION, _IMAGE, _RGB = 1, 2, 1  # as in the enumerations of the schema


class NetworkError(ValueError):
    """Bytes that are no TFLite network."""


@dataclass(frozen=True)
class _Old:
    """Something that is in the network already, at this place."""

    position: int


@dataclass(frozen=True)
class _Numbers:
    """A vector of float32."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class _Table:
    """Slots that are filled: an int is a number of 32 bits or fewer, everything else is pointed to."""

    slots: dict[int, _Value]


_Value = int | str | bytes | _Numbers | _Old | _Table | list["_Table | _Old"]


def with_scaling(network: bytes, *, mean: float, std: float) -> bytes:
    """The network with the note that pixels from 0 to 255 become (pixel - mean) / std.

    Raises:
        NetworkError: the bytes are no TFLite network.
    """
    image = _Table({0: _IMAGE, 1: _Table({0: _RGB})})
    unit = _Table({0: _NORMALIZATION, 1: _Table({0: _Numbers((mean,)), 1: _Numbers((std,))})})
    tensor = _Table({0: "image", 3: image, 4: [unit]})
    model = _Table({0: "image network", 3: [_Table({2: [tensor]})], 7: "1.0.0"})
    return with_metadata(network, _written(model, b"M001"))


def with_metadata(network: bytes, metadata: bytes) -> bytes:
    """The network with one more block of metadata, under the name that MediaPipe Tasks looks for.

    Raises:
        NetworkError: the bytes are no TFLite network.
    """
    if network[4:8] != b"TFL3":
        raise NetworkError("is no TFLite network")
    try:
        slots = _root_slots(network)
        buffers = _entries(network, slots.get(_MODEL_BUFFERS))
        entries = _entries(network, slots.get(_MODEL_METADATA))
    except (struct.error, IndexError):
        raise NetworkError("is a damaged TFLite network") from None
    note = _Table({_METADATA_NAME: "TFLITE_METADATA", _METADATA_BUFFER: len(buffers)})
    model: dict[int, _Value] = {slot: where for slot, where in slots.items() if isinstance(where, _Old)}
    version = slots.get(0)
    model[0] = version if isinstance(version, int) else 0
    model[_MODEL_BUFFERS] = [*buffers, _Table({_BUFFER_DATA: metadata})]
    model[_MODEL_METADATA] = [*entries, note]
    return _written(_Table(model), b"TFL3", before=network)


def _root_slots(network: bytes) -> dict[int, int | _Old]:
    """What the table of the model holds: its version as a number, the rest as places."""
    (root,) = struct.unpack_from("<I", network)
    (back,) = struct.unpack_from("<i", network, root)
    size, _ = struct.unpack_from("<HH", network, root - back)
    slots: dict[int, int | _Old] = {}
    for slot, (offset,) in enumerate(struct.iter_unpack("<H", network[root - back + 4 : root - back + size])):
        if offset:
            (value,) = struct.unpack_from("<I", network, root + offset)
            if slot in _MODEL_TABLES:
                slots[slot] = _Old(root + offset + value)
            elif slot == 0:
                slots[slot] = value
    return slots


def _entries(network: bytes, vector: int | _Old | None) -> list[_Table | _Old]:
    """Places of the tables that a vector points to."""
    if not isinstance(vector, _Old):
        return []
    (count,) = struct.unpack_from("<I", network, vector.position)
    first = vector.position + 4
    places = struct.unpack_from(f"<{count}I", network, first)
    return [_Old(first + 4 * k + offset) for k, offset in enumerate(places)]


def _written(root: _Table, identifier: bytes, *, before: bytes = b"") -> bytes:
    """A FlatBuffer of this table, and what it points to, followed by `before`, into which its `_Old` places lead."""
    out = bytearray(4) + identifier
    waiting: list[tuple[int, _Value]] = [(0, root)]  # where the pointer stands, and what it shall lead to
    old: list[tuple[int, int]] = []
    while waiting:
        pointer, value = waiting.pop(0)
        if isinstance(value, _Old):
            old.append((pointer, value.position))
            continue
        at = _append(out, value, waiting)
        struct.pack_into("<I", out, pointer, at - pointer)
    out += bytes(-len(out) % _ALIGNMENT)
    for pointer, position in old:
        struct.pack_into("<I", out, pointer, len(out) + position - pointer)
    return bytes(out) + before


def _append(out: bytearray, value: _Value, waiting: list[tuple[int, _Value]]) -> int:
    """Write one value at the end, and note the pointers in it; the place that a pointer to it leads to."""
    if isinstance(value, _Table):
        return _append_table(out, value, waiting)
    # A vector's data begin behind its count, and those are what is aligned.
    out += bytes(-(len(out) + 4) % (_ALIGNMENT if isinstance(value, bytes) else 4))
    at = len(out)
    if isinstance(value, str):
        out += struct.pack("<I", len(value.encode())) + value.encode() + b"\0"
    elif isinstance(value, bytes):
        out += struct.pack("<I", len(value)) + value
    elif isinstance(value, _Numbers):
        out += struct.pack(f"<I{len(value.values)}f", len(value.values), *value.values)
    else:
        assert isinstance(value, list), value
        out += struct.pack("<I", len(value)) + bytes(4 * len(value))
        waiting.extend((at + 4 + 4 * k, entry) for k, entry in enumerate(value))
    return at


def _append_table(out: bytearray, table: _Table, waiting: list[tuple[int, _Value]]) -> int:
    """A list of where each slot lies, then the slots, each of four bytes."""
    order = sorted(table.slots)
    places = [4 + 4 * order.index(slot) if slot in table.slots else 0 for slot in range(max(order) + 1)]
    head = struct.pack(f"<HH{len(places)}H", 4 + 2 * len(places), 4 + 4 * len(order), *places)
    out += bytes(-(len(out) + len(head)) % 4) + head
    at = len(out)
    out += struct.pack("<i", len(head))
    for slot in order:
        value = table.slots[slot]
        if isinstance(value, int):
            out += struct.pack("<I", value)
        else:
            waiting.append((len(out), value))
            out += bytes(4)
    return at
