"""Legacy exceptions: binary forms, typing of what is built, and the feature; see also corpus/conformance."""

from __future__ import annotations

import pytest

from engine import Config, InvalidError, MalformedError, Store, decode, instantiate, validate
from engine.execution.build import Build
from engine.features import EXECUTED, LEGACY_EXCEPTIONS, WASM_3
from engine.instructions import TABLE
from engine.module import Code, In, Module
from engine.types import FuncType, RecType, SubType, TagType
from tests.support.binary import module, section
from tests.support.wasm import call, wasm, wat

BUILDS = [Build(), Build(inline=False), Build(fold=False), Build(inline=False, fold=False)]
TRY = '(tag $e) (func (export "f") try throw $e catch $e end)'


def test_it_is_no_part_of_the_standard():
    assert LEGACY_EXCEPTIONS in EXECUTED - WASM_3
    with pytest.raises(MalformedError, match="illegal opcode: try needs legacy-exceptions"):
        decode(wasm(TRY), WASM_3)
    validate(decode(wasm(TRY)))


@pytest.mark.parametrize("body", [
    "07 00 0b", "19 0b", "18 00 0b", "06 40 19 19 0b 0b", "06 40 19 07 00 0b 0b", "06 40 19 18 00 0b",
    "06 40 07 00 18 00 0b", "02 40 19 0b 0b", "04 40 05 19 0b 0b", "06 40 05 0b 0b", "06 40 18 00 19 0b 0b",
    "06 40", "06 40 19 0b", "06 40 18",
])  # fmt: skip
def test_what_is_out_of_place_is_malformed(body):
    code = bytes.fromhex("00" + body)
    data = module(section(1, b"\1\x60\0\0"), section(3, b"\1\0"), section(10, bytes((1, len(code))) + code))
    with pytest.raises(MalformedError) as caught:
        decode(data)
    assert caught.value.offset is not None


def ins(name, *imms):
    return In(TABLE.by_name[name], imms)


@pytest.mark.parametrize(("body", "phrase"), [
    ([ins("catch", 0)], "catch outside of a try"),
    ([ins("catch_all")], "catch_all outside of a try"),
    ([ins("delegate", 0)], "delegate outside of a try"),
    ([ins("try", None), ins("catch_all"), ins("catch", 0), ins("end")], "catch outside of a try"),
    ([ins("try", None), ins("catch", 0), ins("delegate", 0)], "delegate outside of a try"),
    ([ins("block", None), ins("catch_all"), ins("end")], "catch_all outside of a try"),
    ([ins("try", None), ins("else"), ins("end")], "else outside of an if"),
    ([ins("try", None), ins("rethrow", 0), ins("end")], "invalid rethrow label 0"),
])  # fmt: skip
def test_built_modules_are_checked_too(body, phrase):
    t = RecType((SubType(True, (), FuncType((), ())),))
    m = Module(types=(t,), funcs=(0,), tags=(TagType(0),), codes=(Code((), (*body, ins("end"))),))
    with pytest.raises(InvalidError, match=phrase):
        validate(m)


@pytest.mark.parametrize("build", BUILDS)
def test_rethrow_finds_its_exception_below_whatever_is_above_it(build):
    results = " ".join(["i32"] * 12)
    text = f"""(tag $e (param {results})) (tag $f)
      (func $t (throw $e {" ".join(f"(i32.const {n})" for n in range(12))}))
      (func (export "f") (result i32 {results})
        i32.const 50
        try (result {results})
          try (result {results})
            call $t
            unreachable
          catch $e
            try
              throw $f
            catch $f
              rethrow 1
            end
          end
        catch $e
        end)"""
    assert call(instantiate(Store(Config(build=build)), wat(text)), "f") == [50, *range(12)]


def test_a_thousand_nested_tries():
    n = 1000
    text = '(tag $e) (func (export "f") (result i32) ' + "try " * n + "throw $e " + "catch $e rethrow 0 end " * (n - 1)
    assert call(instantiate(Store(), wat(f"{text} catch $e end i32.const 4)")), "f") == 4
