"""The name section, which may be broken and never matters."""

from __future__ import annotations

import pytest

from engine import decode
from engine.binary.names import Names, names_of, write_names
from engine.module import Custom, Module
from tests.support.wasm import wasm


def test_names_given_in_text():
    m = decode(wasm('(module $m (func $f (param $a i32) (param i32) (local $b i64)) (func) (func $"g h"))'))
    assert names_of(m) == Names("m", {0: "f", 2: "g h"}, {0: {0: "a", 2: "b"}})


def test_names_of_everything():
    text = """(module (type $t (func)) (func (block $l) (loop $k)) (table $u 0 funcref) (memory $v 0)
      (global $g i32 (i32.const 0)) (elem $e func) (data $d ""))"""
    assert names_of(decode(wasm(text))) == Names(
        labels={0: {0: "l", 1: "k"}}, types={0: "t"}, tables={0: "u"}, mems={0: "v"}, globals={0: "g"},
        elems={0: "e"}, datas={0: "d"},
    )  # fmt: skip


def test_a_module_without_names():
    assert names_of(Module()) == Names()


@pytest.mark.parametrize("names", [Names(), Names("é"), Names("", {3: "x", 1: ""}, {7: {}, 2: {0: "l"}})])
def test_names_survive(names):
    assert names_of(Module(customs=(Custom("name", write_names(names), 11),))) == names


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_broken_section_gives_what_came_before(cut):
    data = write_names(Names("mod", {0: "func"}))
    names = names_of(Module(customs=(Custom("name", data[:-cut], 11),)))
    assert names.module in ("mod", None)
    assert names.funcs in ({}, {0: "func"})


def test_unknown_subsections_are_skipped():
    data = b"\x7f\3abc" + write_names(Names("m"))
    assert names_of(Module(customs=(Custom("name", data, 11),))).module == "m"
