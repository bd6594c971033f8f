"""Tokens, their values and their errors, on bytes."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MalformedError
from engine.text.lexer import Kind, Source, unescape
from engine.text.literals import float_bits, integer, signed, unsigned


def kinds(text: bytes, **options: bool) -> list[str]:
    source = Source(text)
    return [f"{t.kind.name} {source[t].decode()}" for t in source.tokens(**options)]


def rejects(text: bytes, phrase: str, offset: int) -> None:
    with pytest.raises(MalformedError) as caught:
        list(Source(text).tokens())
    assert caught.value.message.startswith(phrase)
    assert caught.value.offset == offset


def test_every_kind_of_token():
    assert kinds(b'(func $f i32.const -0x1_0 1.5e3 "a\\n" 0$x)') == [
        "LPAR (",
        "KEYWORD func",
        "ID $f",
        "KEYWORD i32.const",
        "INTEGER -0x1_0",
        "FLOAT 1.5e3",
        'STRING "a\\n"',
        "RESERVED 0$x",
        "RPAR )",
    ]


@pytest.mark.parametrize("text", [b"0", b"+12", b"-0x1f", b"1_000", b"0xA_b", b"00"])
def test_integers(text):
    assert kinds(text) == [f"INTEGER {text.decode()}"]


@pytest.mark.parametrize(
    "text",
    [b"1.", b"1.5", b"-1e5", b"1E-0_5", b"0x1.8p+3", b"0x1p1", b"inf", b"-inf", b"nan", b"+nan:0x1_0"],
)
def test_floats(text):
    assert kinds(text) == [f"FLOAT {text.decode()}"]


@pytest.mark.parametrize(
    "text",
    b'1__0 _1 1_ 0x 0X1 .5 1e 0x1.p + 1e+_1 0x_1 --1 -nan:canonical A [ {a} a,b ; "a""b" 1"a" $x"y" a"b"'.split(),
)
def test_reserved_tokens(text):
    assert kinds(text) == [f"RESERVED {text.decode()}"]


@pytest.mark.parametrize("text", [b'\\u{d"800}"', b'"a"\\u{1f\\80}', b'x\\u{ffffff}"\\u{41}"'])
def test_what_looks_like_an_escape_outside_of_a_string_is_none(text):
    assert [kind.partition(" ")[0] for kind in kinds(text)] == ["RESERVED"]


@pytest.mark.parametrize("text", [b"nan:canonical", b"nan:0x", b"infinity", b"i32.const0", b"a=b"])
def test_keywords_may_look_like_numbers(text):
    assert kinds(text) == [f"KEYWORD {text.decode()}"]


def test_parentheses_and_comments_separate_tokens_but_strings_do_not():
    assert kinds(b"nop(nop)nop;;x\nnop(;y;)nop") == [
        "KEYWORD nop",
        "LPAR (",
        "KEYWORD nop",
        "RPAR )",
        "KEYWORD nop",
        "KEYWORD nop",
        "KEYWORD nop",
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_newline_ends_a_line_comment(end):
    assert kinds(b";; a" + end + b"b") == ["KEYWORD b"]


@pytest.mark.parametrize(
    "text", [b"(;;)", b"(;)(;;);)", b"(; ( ; ;)", b"(;(;;);)", b"(;;;)", b"(;\x00\x7f;)", b"(;((;;);)", b'(;";)']
)
def test_block_comments_nest(text):
    assert kinds(text + b"x") == ["KEYWORD x"]


def test_deeply_nested_comments_and_annotations_need_no_stack():
    assert kinds(b"(;" * 50_000 + b";)" * 50_000) == []
    assert kinds(b"(@a " + b"(" * 50_000 + b")" * 50_000 + b")") == []


def test_annotations_are_white_space_unless_asked_for():
    text = b'(a (@x (y) "(" ;; )\n (@z) , ; $ (@) (; ) ;) ) b)'
    assert kinds(text) == ["LPAR (", "KEYWORD a", "KEYWORD b", "RPAR )"]
    source = Source(text)
    (annotation,) = [t for t in source.tokens(annotations=True) if t.kind is Kind.ANNOTATION]
    name, start, end = source.annotation(annotation)
    assert name == "x"
    assert [source[t] for t in source.tokens(start, end, inside=True)][:4] == [b"(", b"y", b")", b'"("']


def test_annotation_ids_may_be_strings():
    source = Source(b'(@"a b\\41" x)')
    (annotation,) = source.tokens(annotations=True)
    assert source.annotation(annotation)[0] == "a bA"


@pytest.mark.parametrize(
    ("text", "phrase", "offset"),
    [
        (b"a \xff", "malformed UTF-8 encoding", 2),
        (b"\xed\xa0\x80", "malformed UTF-8 encoding", 0),
        (b"a \x00", "illegal character", 2),
        (b"a \xc3\xa4", "illegal character", 2),
        (b'x "a', "unclosed string", 2),
        (b'x "a\nb"', "unclosed string", 2),
        (b'x "a\x7f"', "illegal character", 4),
        (b'"\\z"', "illegal escape", 1),
        (b'"a\\u{}"', "illegal escape", 2),
        (b'"\\u{110000}"', "illegal escape", 1),
        (b'"\\\\\\u{d800}"', "illegal escape", 3),
        (b'"\\u{0_d8_00}"', "illegal escape", 1),
        (b'(@a "\\u{dfff}")', "illegal escape", 5),
        (b"a (; (; ;)", "unclosed comment", 2),
        (b"$", "empty identifier", 0),
        (b'$""', "empty identifier", 0),
        (b'$"\\ff"', "malformed UTF-8 encoding", 0),
        (b"(@)", "empty annotation id", 0),
        (b"(@ x)", "empty annotation id", 0),
        (b'(@"")', "empty annotation id", 0),
        (b'(@"\\ef")', "malformed UTF-8 encoding", 0),
        (b"(@x (y)", "unclosed annotation", 0),
        (b'(@x "', "unclosed string", 4),
    ],
)
def test_lexical_errors_have_the_suites_phrase_and_a_place(text, phrase, offset):
    rejects(text, phrase, offset)


def test_errors_tell_line_and_column_in_characters():
    with pytest.raises(MalformedError, match="at line 3, column 4"):
        list(Source('x\r\n;; é\r"é"\x01'.encode()).tokens())


def test_identifiers_have_one_name_however_written():
    source = Source(b'$fi $"fi" $"\\66\\u{69}"')
    assert {source.identifier(t) for t in source.tokens()} == {"fi"}


def test_strings_denote_bytes():
    assert unescape(b'"\\t\\n\\r\\"\\\'\\\\\\00\\fF\\u{20_AC}z"') == b"\t\n\r\"'\\\x00\xff\xe2\x82\xacz"


def test_a_name_is_utf8():
    source = Source(b'"\\ff"')
    with pytest.raises(MalformedError, match="malformed UTF-8 encoding"):
        source.name(next(source.tokens()))


def test_end_of_form_sees_strings_and_comments():
    text = b'(a ")" (;)(;;);) ;; )\n (@x "\\")") $")" ; (b)) c'
    assert Source(text).end_of_form(0) == len(text) - 2


@pytest.mark.parametrize("text", [b"(a (b)", b'(a "', b"(a (;", b"(;; x"])
def test_end_of_form_of_an_unclosed_form_is_an_error(text):
    with pytest.raises(MalformedError):
        Source(text).end_of_form(0)


@given(st.lists(st.sampled_from([b"(", b")", b"(;", b";)", b";;", b'"', b"\\", b"$", b"@", b"(@", b"a", b"1", b"\n"])))
def test_any_text_gives_tokens_or_a_typed_error(pieces):
    text = b" ".join(pieces) + b"".join(pieces)
    try:
        tokens = list(Source(text).tokens())
    except MalformedError as e:
        assert e.offset is not None and 0 <= e.offset <= len(text)
    else:
        assert all(a.end <= b.start for a, b in itertools.pairwise(tokens))


@given(st.binary())
def test_any_bytes_give_tokens_or_a_typed_error(text):
    try:
        list(Source(text).tokens())
    except MalformedError as e:
        assert e.offset is not None and 0 <= e.offset <= len(text)


@pytest.mark.parametrize(
    ("text", "n", "value"),
    [(b"-1", 32, 2**32 - 1), (b"0xffff_ffff", 32, 2**32 - 1), (b"-0x8000_0000", 32, 2**31), (b"+7", 64, 7)],
)
def test_integer_is_unsigned_whatever_was_written(text, n, value):
    assert integer(text, n) == value


@pytest.mark.parametrize("text", [b"4294967296", b"-2147483649", b"0x1_0000_0000", b"9" * 100_000, b"0x" + b"f" * 99])
def test_integer_out_of_range(text):
    with pytest.raises(MalformedError, match="constant out of range"):
        integer(text, 32)


def test_leading_zeros_do_not_matter():
    assert integer(b"0" * 10_000 + b"7", 32) == 7
    assert unsigned(b"0x" + b"0" * 10_000 + b"7", 32) == 7


def test_signed_and_unsigned_ranges():
    assert signed(b"-128", 8) == -128
    assert unsigned(b"255", 8) == 255
    for call in (lambda: signed(b"128", 8), lambda: signed(b"-129", 8), lambda: unsigned(b"256", 8)):
        with pytest.raises(MalformedError, match="constant out of range"):
            call()
    with pytest.raises(MalformedError, match="unexpected token"):
        unsigned(b"+1", 8)


@pytest.mark.parametrize(
    ("text", "n", "bits"),
    [
        (b"-0", 32, 0x8000_0000),
        (b"inf", 32, 0x7F80_0000),
        (b"-nan", 64, 0xFFF8_0000_0000_0000),
        (b"nan:0x1", 32, 0x7F80_0001),
        (b"1.000000059604644775390625", 32, 0x3F80_0000),  # a tie: to even
        (b"1.000000059604644775390625000000000000000001", 32, 0x3F80_0001),
        (b"1.000000059604644775390625" + b"0" * 2000 + b"1", 32, 0x3F80_0001),
        (b"0x1.000001", 32, 0x3F80_0000),
        (b"0x1.0000010000000000001", 32, 0x3F80_0001),
        (b"1.4e-45", 32, 1),
        (b"0x1p-150", 32, 0),
        (b"0x1.00000001p-150", 32, 1),
        (b"1e-400", 64, 0),
        (b"0x1p-99999999999999999999", 64, 0),
        (b"0e99999999999999999999", 64, 0),
        (b"0x1.fffffffffffff7p1023", 64, 0x7FEF_FFFF_FFFF_FFFF),
        (b"16777217", 32, 0x4B80_0000),
        (b"1" + b"0" * 400 + b"e-400", 64, 0x3FF0_0000_0000_0000),
        (b"0x1" + b"0" * 300_000 + b"p-1200000", 64, 0x3FF0_0000_0000_0000),
    ],
)
def test_float_bits(text, n, bits):
    assert float_bits(text, n) == bits


@pytest.mark.parametrize(
    ("text", "n"),
    [
        (b"1e39", 32),
        (b"3.4028235677973367e38", 32),
        (b"0x1p128", 32),
        (b"0x1.ffffffp127", 32),
        (b"0x1.fffffffffffff8p1023", 64),
        (b"1e99999999999999999999", 64),
        (b"0x1" + b"0" * 300_000, 64),
        (b"nan:0x0", 32),
        (b"nan:0x800000", 32),
    ],
)
def test_float_out_of_range(text, n):
    with pytest.raises(MalformedError, match="constant out of range"):
        float_bits(text, n)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float_bits_inverts_both_spellings_of_a_double(z):
    (bits,) = struct.unpack("<Q", struct.pack("<d", z))
    assert float_bits(repr(z).encode(), 64) == bits
    assert float_bits(z.hex().encode(), 64) == bits


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float_bits_rounds_a_double_once(z):
    (bits,) = struct.unpack("<I", struct.pack("<f", z))
    assert float_bits(repr(z).encode(), 32) == bits
