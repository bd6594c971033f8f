"""Frames: what is refused, and that everything else survives the journey."""

from __future__ import annotations

import ast
import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles import adapter, outcome, plan, protocol, traps, worker
from oracles.adapter import Description
from oracles.protocol import FRAME_CAP, MAX_DEPTH, Frames, ProtocolError, hello, loads, pack, read_hello, receive, send

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.integers(1, 50))
def test_messages_survive_in_pieces_of_any_size(message: dict[str, object], size: int) -> None:
    data = pack(message) * 2
    frames = Frames()
    got = [m for at in range(0, len(data), size) for m in frames.feed(data[at : at + size])]
    assert got == [message, message]
    assert frames.pending == 0


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[" * 5000 + b"]" * 5000, "nested"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "nested"),
        (b'{"a":' + b"[" * 200_000, "nested"),
        (b'{"a":' + b"1" * 21 + b"}", "21 digits"),
        (b'{"a":' + b"1" * 100_000 + b"}", "digits"),
        (b'{"a":Infinity}', "Infinity"),
        (b'{"a":NaN}', "NaN"),
        (b"[]", "object"),
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"a":1', "not JSON"),
        (b'{"a":"\\ud800"}x', "not JSON"),
    ],
)
def test_hostile_payloads_are_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        loads(payload)


def test_brackets_in_strings_are_no_nesting() -> None:
    message = {"a": "[" * 500 + '"\\{', "b": ["]]{[" * 100]}
    assert loads(json.dumps(message).encode()) == message


def test_nesting_up_to_the_limit_is_read() -> None:
    data = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH
    assert loads(data) == json.loads(data)


def test_a_frame_over_the_cap_is_refused_before_it_is_collected() -> None:
    with pytest.raises(ProtocolError, match="cap"):
        list(Frames().feed(struct.pack("<I", FRAME_CAP + 1)))
    with pytest.raises(ProtocolError, match="cap"):
        pack({"a": "x" * FRAME_CAP})


def test_a_pipe_carries_messages_until_its_end() -> None:
    reader, writer = os.pipe()
    send(writer, {"n": 1})
    assert receive(reader) == {"n": 1}
    os.write(writer, b"\x05\x00\x00\x00{")
    os.close(writer)
    with pytest.raises(ProtocolError, match="inside a frame"):
        receive(reader)
    assert receive(reader) is None
    os.close(reader)


def test_hello_carries_the_description() -> None:
    description = Description("engine", "1.2", features=("simd",), text=True)
    assert read_hello(loads(pack(hello(description))[4:])) == description
    assert read_hello({"protocol": 1, "unavailable": "no wheel"}) == "no wheel"


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"protocol": 2, "formats": [1], "description": {"name": "a", "version": "1"}},
        {"protocol": 1, "formats": [2], "description": {"name": "a", "version": "1"}},
        {"protocol": 1, "formats": [1], "description": []},
        {"protocol": 1, "formats": [1], "description": {"name": "a"}},
        {"protocol": 1, "formats": [1], "description": {"name": "a", "version": "1", "features": "simd"}},
        {"protocol": 1, "formats": [1], "description": {"name": "a", "version": "1", "text": "yes"}},
    ],
)
def test_a_malformed_hello_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        read_hello(message)


def test_what_goes_into_side_environments_is_python_310() -> None:
    files = [Path(str(m.__file__)) for m in (adapter, outcome, plan, protocol, traps, worker)]
    files += (Path(str(adapter.__file__)).parent / "adapters").glob("wasmer*.py")
    files.append(Path(str(adapter.__file__)).with_name("__init__.py"))
    for file in files:
        ast.parse(file.read_text(), filename=str(file), feature_version=(3, 10))
