"""Gate: mutated texts through lexer, parser, encoder, printer; ``python -m ci.gates.texts``.

Every mutant must be accepted or rejected with a typed error that has a place, within a second of processor time and a
bounded heap.  One that is accepted must be the same module after encoding and decoding, and after printing and parsing.
Most mutants change tokens, so that they get past the lexer; the rest change bytes.  Mutant ``i`` is a function of the
seed and ``i`` alone; a failure prints its index, and ``--only I`` runs that one again with its traceback.  The exit
status is the verdict: 0 clean, 1 failures.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ci.gates import pool
from engine import MalformedError, TextError, UnsupportedError, decode, encode, parse, print_module
from engine.features import EXECUTED
from engine.instructions import TABLE
from engine.text.lexer import Source as Text
from generators.module import generate
from generators.profile import PRESETS
from generators.source import Source
from harness.wast.reader import read_script
from harness.wast.script import ModuleSource

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATED = 20
MAX_TOKENS = 20_000
CONFORMANCE = Path(__file__).parents[2] / "corpus" / "conformance"

# Each abbreviation and each form of a field once.
SAMPLES = (
    b'(module $m (@name "M") (type $t (func (param $x i32) (result i64))) (rec (type $a (sub (struct (field $f (mut i8)'
    b') (field i16 f32)))) (type $b (sub final $a (struct (field i8 i16) (field (ref null $b))))) (type (array i32)))'
    b' (import "a" "b" (func $i (type $t))) (import "a" "\\u{7f}" (memory 1 2)) (func $f (export "f") (export "g")))',
    b'(func $f (import "a" "b") (param i32)) (table $t (import "a" "c") 1 2 funcref) (memory (export "m") (data "a" "b"'
    b')) (table (export "u") i64 funcref (elem $f $f)) (global $g (export "h") (mut i32) i32.const 0x1_0) (start $f)',
    b'(func $f (param $x i32) (param f32 f64) (result i32) (local $y i64) (local i32 i32) (block $l (result i32)'
    b' (loop $k (br_if $l (i32.const 1) (i32.const 2)) drop) (if $j (result i32) (local.get $x) (then (br $j (i32.const'
    b' 1))) (else unreachable)) br $l))',
    b'(func i32.const 0 block $a (param i32) (result) drop i32.const 1 if $b nop else $b end $b br_table 0 $a 0 end $a'
    b' (@metadata.code.branch_hint "\\01") (if (i32.const 0) (then)) (select (result i32) (i32.const 1) (i32.const 2)'
    b' (i32.const 3)) drop (call_indirect $t (type 0) (i32.const 0)) (i64.load32_s offset=4 align=2 (i32.const 0)))'
    b' (table $t 1 funcref) (memory 1) (type (func))',
    b'(memory 1) (memory i64 1 2 shared) (elem $e (table 0) (offset i32.const 0) func 0) (elem declare func 0) (elem'
    b' funcref (item ref.func 0) (ref.null func)) (elem (i32.const 0) 0 0) (func) (table 3 (ref null func) (ref.null'
    b' func)) (data $d "x") (data (memory 1) (i64.const 0) "\\00\\t\\u{1F600}") (data (offset (i32.const 1)))',
    b'(func (f32.const nan:0x7fffff) (f64.const -0x1.8p+3) (f32.const 1e10) (f64.const inf) (f64.const -nan) (i64.const'
    b' -9_223_372_036_854_775_808) drop) (@custom "c" (before first) "d") (@custom "e" (after code)) (memory 1'
    b' (pagesize 1)) (tag $t (export "t") (param i32)) (export "x" (tag $t))',
    b'(module quote "(func $" "a)")', b'(module definition binary "\\00asm" "\\01\\00\\00\\00")',
    b'(func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)) (table.copy 0 0 (i32.const 0) (i32.const 0)'
    b' (i32.const 0)) (memory.copy (i32.const 0) (i32.const 0) (i32.const 0))) (data "") (memory 0) (table 0 funcref)',
)  # fmt: skip
WORDS = (
    *sorted({row.keyword.encode() for row in TABLE}),
    *b"module func type rec sub final struct array field mut ref null param result local import export memory table "
    b"global tag elem data start offset item declare then do catch catch_ref catch_all catch_all_ref i32 i64 f32 f64 "
    b"v128 i8 i16 funcref externref anyref eqref i31ref exnref nullref any eq i31 none extern shared pagesize quote "
    b"binary definition instance descriptor describes exact i8x16 i32x4 f64x2 inf nan nan:canonical".split(),
)  # fmt: skip
ODD = (
    b"(", b")", b"()", b"((", b"))", b"$x", b"$l", b"$t", b"$f", b'$"x"', b'$""', b"$", b"0", b"1", b"-1", b"+0", b"2",
    b"4294967295", b"4294967296", b"18446744073709551615", b"18446744073709551616", b"0x"+b"f" * 40, b"1_000", b"1__0",
    b"_1", b"0x", b"1.5", b"1e999", b"1e-999999999999999999", b"0x1p-9999999999999", b"nan:0x0",
    b"nan:0xffffffffffffffff", b'""', b'"a"', b'"\\ff"', b'"\\u{d800}"', b'"\\u{110000}"', b'"\xe2\x80\xae"', b'"',
    b'"\\', b"(;", b";)", b"(;;)", b";;\n", b"(@custom)", b'(@custom "a" (after data) "b")', b'(@name "n")', b"(@x ()",
    b"(@", b"offset=4", b"align=3", b"align=0x80000000000000000000", b"offset=", b"=", b"\x00", b"\xff", b"\xc3",
    b"\xf0\x9f\x98\x80", b"\t", b"\r\n", b",", b'(@metadata.code.branch_hint "\\00")',
    b'(@metadata.code.branch_hint "\\00\\01")', b"(type 0)", b"(type 99)", b"(result i32)", b"(param i32)",
    b'(export "e")', b'(import "m" "n")', b"(mut i32)", b"(ref null 0)", b"end", b"else",
)  # fmt: skip


@cache
def bases(seed: int) -> tuple[tuple[bytes, ...], ...]:
    """Return the texts that mutants start from, as tokens."""
    texts = list(SAMPLES)
    for path in sorted(CONFORMANCE.rglob("*.wast")):
        subjects = [c.subject for c in read_script(path.read_bytes()).commands]
        texts += [s.data for s in subjects if isinstance(s, ModuleSource) and s.form != "binary"]
    profiles = list(PRESETS.values())
    for i in range(GENERATED):
        wasm = generate(Source.fresh("text base", seed, i), profiles[i % len(profiles)]).wasm
        texts.append(print_module(decode(wasm, EXECUTED)).encode())
    cut = []
    for text in texts:
        tokens = Text(text)
        cut.append(tuple([tokens[token] for token in tokens.tokens(annotations=True)]))
    return tuple(cut)


Tokens = list[bytes]


def _span(source: Source, tokens: Tokens) -> tuple[int, int]:
    start = source.below(len(tokens) + 1)
    return start, min(len(tokens), start + source.choose((1, 1, 2, 3, 8, 40, 400)))


def delete(source: Source, tokens: Tokens, other: Tokens) -> Tokens:
    start, end = _span(source, tokens)
    return tokens[:start] + tokens[end:]


def repeat(source: Source, tokens: Tokens, other: Tokens) -> Tokens:
    start, end = _span(source, tokens)
    return tokens[:end] + tokens[start:end] * source.choose((1, 2, 10, 300)) + tokens[end:]


def replace_word(source: Source, tokens: Tokens, other: Tokens) -> Tokens:
    start = source.below(len(tokens) + 1)
    return [*tokens[:start], source.choose(source.choose((WORDS, ODD))), *tokens[start + 1 :]]


def insert_word(source: Source, tokens: Tokens, other: Tokens) -> Tokens:
    start = source.below(len(tokens) + 1)
    return [*tokens[:start], source.choose(source.choose((WORDS, ODD))), *tokens[start:]]


def wrap(source: Source, tokens: Tokens, other: Tokens) -> Tokens:
    """Put parentheses with a word around a span, many deep at times."""
    start, end = _span(source, tokens)
    n = source.choose((1, 1, 1, 5, 500))
    return [*tokens[:start], *(b"(", source.choose(WORDS)) * n, *tokens[start:end], *(b")",) * n, *tokens[end:]]


def splice(source: Source, tokens: Tokens, other: Tokens) -> Tokens:
    start, end = _span(source, tokens)
    low, high = _span(source, other)
    return tokens[:start] + other[low:high] + tokens[end:]


def splice_form(source: Source, tokens: Tokens, other: Tokens) -> Tokens:
    """Put a whole form of another text where one stood, or beside it."""
    opening = [i for i, token in enumerate(other) if token == b"("]
    places = [i for i, token in enumerate(tokens) if token == b"("]
    if not opening or not places:
        return tokens
    start, at = source.choose(opening), source.choose(places)
    form = other[start : _end(other, start)]
    return tokens[:at] + form + tokens[_end(tokens, at) if source.chance(50) else at :]


def _end(tokens: Tokens, start: int) -> int:
    depth = 0
    for i in range(start, len(tokens)):
        depth += {b"(": 1, b")": -1}.get(tokens[i], 0)
        if not depth:
            return i + 1
    return len(tokens)


TOKENWISE: tuple[Callable[[Source, Tokens, Tokens], Tokens], ...]
TOKENWISE = (delete, repeat, replace_word, insert_word, wrap, splice, splice_form, replace_word, splice_form)


def mutant(seed: int, i: int) -> bytes:
    """Return mutant ``i``."""
    source = Source.fresh("text", seed, i)
    texts = bases(seed)
    tokens = list(source.choose(texts))
    for _ in range(source.between(1, 4)):
        tokens = source.choose(TOKENWISE)(source, tokens, list(source.choose(texts)))[:MAX_TOKENS]
    text = b" ".join(tokens)
    if i % 5:
        return text
    for _ in range(source.between(1, 4)):  # bytes
        at = source.below(len(text) + 1)
        new = source.choose((b"", b"\x00", b'"', b"(", b")", b"\\", b";", b"\xff", b"$", b" ", b"_", b"\x80", b"0"))
        text = text[:at] + new + text[at + source.below(3) :]
    return text


def check(text: bytes) -> str:
    """Parse a text and return what became of it; whatever escapes is a failure."""
    try:
        module = parse(text, EXECUTED)
    except TextError as e:
        return e.message.partition(":")[0].partition(" at line")[0].split(" $")[0]
    except (MalformedError, UnsupportedError) as e:
        if e.where is None or e.where.offset is None:
            raise AssertionError(f"no place: {e}") from e
        return type(e).__name__
    wasm = encode(module)
    if encode(decode(wasm, EXECUTED)) != wasm:
        raise AssertionError("decoding and encoding gives another module")
    try:
        printed = print_module(module)
    except UnsupportedError:
        return "accepted, too many locals to print"
    module.data_count = decode(wasm, EXECUTED).data_count
    if encode(parse(printed, EXECUTED, names=False)) != wasm:
        raise AssertionError("printing and parsing gives another module")
    return "accepted"


GATE = pool.Gate("texts", mutant, check, bytes)


if __name__ == "__main__":
    sys.exit(pool.main(GATE, __doc__, 1_000_000))
