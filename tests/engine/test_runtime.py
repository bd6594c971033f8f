"""The public face, and the store's bookkeeping."""

from __future__ import annotations

import subprocess
import sys

import pytest

import engine
from engine import Config, Store
from engine.errors import ExhaustionError
from engine.runtime.segments import DataInst, ElemInst
from engine.types import FUNCREF, I32, FuncType, Limits, MemType, func_deftype


@pytest.mark.parametrize("name", engine.__all__)
def test_every_public_name_is_there(name):
    assert getattr(engine, name).__name__ == name


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'Decoder'"):
        engine.Decoder  # noqa: B018


def test_importing_the_types_does_not_load_the_engine():
    code = "import sys, engine.types; print('engine.execution' in sys.modules, 'engine.instructions' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_a_host_function_has_the_one_type_of_its_structure():
    functype = FuncType((I32,), (I32,))
    func = Store().alloc_host_func(functype, lambda caller, args: args)
    assert func.type is func_deftype(FuncType((I32,), (I32,)))


def test_memory_limits_are_in_64_kib_whatever_the_page_size():
    store = Store(Config(max_memory_pages=1))
    mem = store.alloc_mem(MemType(Limits(0), page_bits=0))
    assert (mem.grow(65537), mem.grow(65536), mem.grow(1)) == (-1, 0, -1)
    with pytest.raises(ExhaustionError):
        store.alloc_mem(MemType(Limits(65537), page_bits=0))
    assert len(store.mems) == 1


def test_dropped_segments_are_empty_and_dropping_again_is_harmless():
    data, elem = DataInst(0, b"abc"), ElemInst(0, FUNCREF, (None,))
    for segment in (data, elem):
        segment.drop()
        segment.drop()
    assert (data.data, elem.elems) == (b"", ())


def test_external_references_are_distinct_and_keep_the_value():
    store = Store()
    a, b = store.alloc_extern("x"), store.alloc_extern("x")
    assert (a.addr, b.addr, a.value, a == b) == (0, 1, "x", False)
