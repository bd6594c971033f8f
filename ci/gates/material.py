"""What the gates about hostile modules start from: valid modules, generated and from our own scripts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from engine import decode, encode, parse, validate
from engine.errors import WasmError
from engine.features import EXECUTED, MULTI_VALUE, REFERENCE_TYPES
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.wast.reader import read_script
from harness.wast.script import ModuleSource

if TYPE_CHECKING:
    from engine.features import FeatureSet
    from generators.profile import Profile

__all__ = ["bases", "is_valid", "scripted"]

GENERATED = 40
CONFORMANCE = Path(__file__).parents[2] / "corpus" / "conformance"


@cache
def scripted() -> tuple[bytes, ...]:
    """Return the modules of the conformance scripts that have sections, as bytes."""
    found = []
    for path in sorted(CONFORMANCE.rglob("*.wast")):
        for command in read_script(path.read_bytes()).commands:
            subject = command.subject
            if command.kind == "module" and isinstance(subject, ModuleSource):
                wasm = subject.data if subject.form == "binary" else encode(parse(subject.data, EXECUTED))
                if len(wasm) > 8:
                    found.append(wasm)
    return tuple(found)


def is_valid(wasm: bytes, features: FeatureSet) -> bool:
    """Tell whether we accept a module."""
    try:
        validate(decode(wasm, features), features)
    except WasmError:
        return False
    return True


def _fitted(profile: Profile, features: FeatureSet) -> Profile:
    """Return a profile whose modules need none but these features, as far as a profile can say that."""
    if MULTI_VALUE not in features:
        profile = replace(profile, results=(0, 1))
    if REFERENCE_TYPES not in features:
        profile = replace(profile, reference_percent=0, table_percent=0)
    return replace(profile, features=features)


@cache
def bases(seed: int, features: FeatureSet = EXECUTED) -> tuple[bytes, ...]:
    """Return modules that are valid with these features; about as many generated as written by hand."""
    profiles = [_fitted(profile, features) for profile in PRESETS.values()]
    made = [generate(Source.fresh("base", seed, i), profiles[i % len(profiles)]).wasm for i in range(GENERATED)]
    return tuple(wasm for wasm in (*made, *scripted()) if is_valid(wasm, features))
