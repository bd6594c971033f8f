"""Frames between a supervisor and a worker: a length, then one JSON object.

A frame is a 4-byte little-endian length and that many bytes of UTF-8 JSON.  The worker speaks first::

    worker   {"protocol": 1, "formats": [1], "description": {...}}      or {"protocol": 1, "unavailable": "reason"}
    parent   {"id": 7, "plan": {...}}
    worker   {"id": 7, "start": true}            it has the plan; a plan that was not taken is sent to another worker
    worker   {"id": 7, "record": {...}}          one per step, in order, each sent when its step has ended
    worker   {"id": 7, "end": 12}                the number of records; "stopped": "memory" if steps are missing
    worker   {"id": 7, "fault": "text"}          instead: the adapter is broken, the worker ends itself

A worker that was given a bell (``--bell FD``) may say ``"bell": true`` in its first message; then it writes one byte
there when its messages should be read (at every end or fault, and before 64 KiB are waiting), which spares the parent
one awakening per record.  Closing the worker's input ends it.  What a worker sends is hostile: length, nesting,
integers and shape are bounded and everything else is a :class:`ProtocolError`.  Standard library only, syntax of
CPython 3.10.
"""

from __future__ import annotations

import json
import os
import re
import struct
from typing import TYPE_CHECKING, Any

from oracles.adapter import Description
from oracles.plan import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "FRAME_CAP", "MAX_DEPTH", "PROTOCOL", "Frames", "ProtocolError", "hello", "loads", "pack", "read_hello", "receive",
    "send",
]  # fmt: skip

PROTOCOL = 1
FRAME_CAP = 32 << 20  # bytes of one frame
MAX_DEPTH = 32  # nested arrays and objects
MAX_DIGITS = 20  # of an integer
_SPACE = " \t\r\n"  # what JSON allows around a value
_LENGTH = struct.Struct("<I")
_NO_BRACKETS = bytes(b for b in range(256) if b not in b"[]{}")
_PAIR = re.compile(rb"\[\]|\{\}")


class ProtocolError(Exception):
    """The other side broke the protocol; the message is one sentence."""


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ProtocolError(f"an integer of {len(text)} digits")
    return int(text)


def _constant(text: str) -> float:
    raise ProtocolError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_constant)
_SHORT_DECODER = json.JSONDecoder(parse_constant=_constant)  # where no integer can be too long
_DIGITS = bytes(48 if 48 <= b < 58 else 32 for b in range(256))
_TOO_MANY = b"0" * (MAX_DIGITS + 1)
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def pack(message: Mapping[str, Any]) -> bytes:
    """Return the frame of a message, or raise ProtocolError if it is longer than the cap."""
    data = _ENCODER.encode(message).encode()
    if len(data) > FRAME_CAP:
        raise ProtocolError(f"a frame of {len(data)} bytes is over the cap of {FRAME_CAP}")
    return _LENGTH.pack(len(data)) + data


def loads(data: bytes) -> dict[str, Any]:
    """Return the message in one frame's bytes, or raise ProtocolError."""
    if not _is_shallow(data):
        raise ProtocolError(f"nested deeper than {MAX_DEPTH}")
    try:
        text = data.decode().strip(_SPACE)
        decoder = _DECODER if _TOO_MANY in data.translate(_DIGITS) else _SHORT_DECODER
        message, end = decoder.raw_decode(text)
        if end != len(text):
            raise ValueError("more than one value")
    except (ValueError, RecursionError) as e:
        raise ProtocolError(f"not JSON: {type(e).__name__}: {str(e)[:100]}") from e
    if not isinstance(message, dict):
        raise ProtocolError("a message is an object")
    return message


def _is_shallow(data: bytes) -> bool:
    """Return whether the nesting is within MAX_DEPTH; brackets in strings can only make the exact answer necessary."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return True
    rest = data.translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not rest:
            return True
        rest = _PAIR.sub(b"", rest)
    return not rest or _depth_outside_strings(data) <= MAX_DEPTH


def _depth_outside_strings(data: bytes) -> int:
    """Return the nesting of brackets that are in no string."""
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", data, flags=re.DOTALL).translate(None, _NO_BRACKETS)
    depth = deepest = 0
    for byte in bare:
        depth += 1 if byte in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


class Frames:
    """Takes bytes as they arrive and gives whole messages; never holds more than one frame beyond what was fed."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield each message that ``data`` completes, or raise ProtocolError."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > FRAME_CAP:
                raise ProtocolError(f"a frame of {length} bytes is over the cap of {FRAME_CAP}")
            if len(buffer) < 4 + length:
                return
            payload = bytes(buffer[4 : 4 + length])
            del buffer[: 4 + length]
            yield loads(payload)

    @property
    def pending(self) -> int:
        """The number of bytes of an unfinished frame."""
        return len(self._buffer)


def send(fd: int, message: Mapping[str, Any]) -> int:
    """Write one message to a blocking descriptor and return the bytes of its frame."""
    frame = pack(message)
    view = memoryview(frame)
    while view:
        view = view[os.write(fd, view) :]
    return len(frame)


def receive(fd: int) -> dict[str, Any] | None:
    """Read one message from a blocking descriptor; None at its end."""
    head = _read(fd, 4)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > FRAME_CAP:
        raise ProtocolError(f"a frame of {length} bytes is over the cap of {FRAME_CAP}")
    return loads(_read(fd, length))


def _read(fd: int, n: int) -> bytes:
    parts = []
    left = n
    while left:
        part = os.read(fd, min(left, 1 << 20))
        if not part:
            if left == n and n == 4:
                return b""
            raise ProtocolError("the input ends inside a frame")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def hello(description: Description) -> dict[str, Any]:
    """Return the first message of a worker."""
    return {"protocol": PROTOCOL, "formats": [FORMAT], "description": description.to_json()}


def read_hello(message: Mapping[str, Any]) -> Description | str:
    """Return the description in a worker's first message, or the reason why it is unavailable."""
    if message.get("protocol") != PROTOCOL:
        raise ProtocolError(f"the worker speaks protocol {str(message.get('protocol'))[:20]}, not {PROTOCOL}")
    if "unavailable" in message:
        return str(message["unavailable"])[:1000]
    formats = message.get("formats")
    if not isinstance(formats, list) or FORMAT not in formats:
        raise ProtocolError(f"the worker does not know plans of format {FORMAT}")
    try:
        return Description.from_json(message.get("description"))
    except ValueError as e:
        raise ProtocolError(f"malformed description: {e}") from e
