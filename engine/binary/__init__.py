"""The binary format: bytes to :class:`Module` and back (spec: binary).

Decoding accepts the whole grammar of Wasm 3.0, whatever the features, except that an instruction, a section, and the
forms of recursive groups, of page sizes and of indices exist only with their feature: what we execute and is off is
malformed, an opcode of a feature that we do not execute unsupported.  Which types may be used is for validation to say.
Encoding is canonical: shortest integers and forms.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from engine.errors import MalformedError
from engine.features import COMPATIBLE
from engine.instructions.leb import u
from engine.module import Custom, Module

from .code import plan
from .forms import SHORTEST, Form
from .reader import Reader
from .sections import CUSTOM, SECTIONS, read_custom, write_custom

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.features import FeatureSet

    from .code import Plan

__all__ = ["MAGIC", "SHORTEST", "VERSION", "Form", "decode", "encode", "read_module"]

MAGIC, VERSION = b"\0asm", b"\1\0\0\0"
_PLACE = {section.id: place for place, section in enumerate(SECTIONS)}


def decode(data: bytes, features: FeatureSet = COMPATIBLE) -> Module:
    """Return the module that the bytes are, or raise ``MalformedError`` or ``UnsupportedError`` with an offset.

    Spec: binary-module.
    """
    return read_module(Reader(bytes(data), features=features))


def read_module(r: Reader, plans: Callable[[FeatureSet, bool], Plan] = plan) -> Module:
    """Return the module that a reader of all its bytes gives; ``plans`` says how bodies are read."""
    data, features = r.data, r.features
    if data[:4] != MAGIC:
        raise MalformedError("unexpected end" if MAGIC.startswith(data[:4]) else "magic header not detected", 0)
    if data[4:8] != VERSION:
        raise MalformedError("unexpected end" if VERSION.startswith(data[4:8]) else "unknown binary version", 4)
    r.pos = 8
    fields: dict[str, Any] = {}
    places: dict[str, list[int]] = {}
    customs: list[Custom] = []
    place, after = -1, CUSTOM
    while r.pos < r.end:
        start = r.pos
        id = r.byte()
        if id != CUSTOM and id not in _PLACE:
            raise MalformedError(f"malformed section id {id}", start)
        size = r.u32()
        if size > r.end - r.pos:
            raise MalformedError("length out of bounds: unexpected end of section", start)
        part = r.part(size)
        if id == CUSTOM:
            customs.append(read_custom(part, after))
            continue
        if _PLACE[id] <= place:
            raise MalformedError(f"unexpected content after last section: section {id} after section {after}", start)
        place, after = _PLACE[id], id
        section = SECTIONS[place]
        if section.feature not in features:
            raise MalformedError(f"malformed section id {id}: {section.field} need {section.feature.name}", start)
        places[section.field] = part.starts
        part.starts.append(start)
        fields[section.field] = section.read(part, plans(features, "data_count" in fields or section.field != "codes"))
        if part.pos != part.end:
            raise MalformedError(f"section size mismatch: section {id} ends early", part.pos)
    module = Module(**fields, customs=tuple(customs), places=places)
    module.digest = sha256(data).hexdigest()
    _check_lengths(module, r.end)
    return module


def _check_lengths(m: Module, offset: int) -> None:
    """Check the conditions between sections (spec: binary-module)."""
    if len(m.funcs) != len(m.codes):
        raise MalformedError("function and code section have inconsistent lengths", offset)
    if m.data_count is not None and m.data_count != len(m.datas):
        raise MalformedError("data count and data section have inconsistent lengths", offset)


def encode(module: Module, form: Form = SHORTEST) -> bytes:
    """Return the canonical bytes; ``decode(encode(m))`` equals a valid ``m`` but for offsets of instructions.

    Another ``form`` gives other bytes of the same module.
    """
    out = bytearray(MAGIC + VERSION)
    customs: dict[int, list[Custom]] = {}
    for custom in module.customs:
        customs.setdefault(custom.after, []).append(custom)
    _write_customs(out, customs.get(CUSTOM, []))
    for section in SECTIONS:
        contents = section.write(module, form)
        following = customs.get(section.id, [])
        if not contents and (following or form.empty_sections) and isinstance(getattr(module, section.field), tuple):
            contents = u(0)  # an empty section keeps the place of what follows it
        if contents:
            _write_section(out, section.id, contents)
        _write_customs(out, following)
    return bytes(out)


def _write_section(out: bytearray, id: int, contents: bytes) -> None:
    out.append(id)
    out += u(len(contents))
    out += contents


def _write_customs(out: bytearray, customs: list[Custom]) -> None:
    for custom in customs:
        _write_section(out, CUSTOM, write_custom(custom))
