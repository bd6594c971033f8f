"""What instantiation costs around images of memories; the numbers are those that wasmtime 50.0.1 charges."""

import pytest

from engine import Config, Store, decode, instantiate
from engine.execution.fuel_models import fuel_model
from engine.types import Limits, MemType
from tests.support.wasm import wasm

SUM = "(global i32 (i32.add (i32.const 3) (i32.const 4)))"
MEMORY, IMPORT = "(memory 1)", '(import "" "" (memory 1))'


def data(mem: int, at: int = 8, content: str = "abc") -> str:
    return f'(data (memory {mem}) (i32.const {at}) "{content}")'


def cost(*fields: str) -> int:
    store = Store(Config(fuel_model=fuel_model("wasmtime", 50)))
    module = decode(wasm(" ".join(fields)))
    imported = store.alloc_mem(MemType(Limits(1, None)))
    store.set_fuel(100_000)
    instantiate(store, module, [imported] * len(module.imports))
    return 100_000 - (store.fuel or 0)


@pytest.mark.parametrize(
    ("fields", "fuel"),
    [
        ((MEMORY, data(0)), 0),
        ((SUM, MEMORY), 4),
        ((SUM, MEMORY, data(0)), 1),
        ((SUM, MEMORY, data(0, content="")), 4),
        ((SUM, MEMORY, data(0), "(func $s) (start $s)"), 3),
        ((SUM, MEMORY, data(0), "(table 30 i31ref (ref.i31 (i32.const 1)))"), 1),
        ((SUM, MEMORY, data(0), "(table 300 i31ref (ref.i31 (i32.const 1)))"), 306),
    ],
)
def test_what_is_charged_before_an_image_is_lost_unless_a_check_has_flushed_it(fields, fuel):
    assert cost(*fields) == fuel


@pytest.mark.parametrize(
    ("fields", "fuel"),
    [
        ((MEMORY, MEMORY), 0),
        ((MEMORY, MEMORY, data(0)), 1),
        ((MEMORY, MEMORY, data(1)), 1),
        ((MEMORY, MEMORY, data(1, content="")), 0),
        ((MEMORY, MEMORY, data(0), data(1)), 0),
    ],
)
def test_images_of_some_memories_and_not_of_others_need_a_startup_function(fields, fuel):
    assert cost(*fields) == fuel


@pytest.mark.parametrize(
    ("fields", "fuel"),
    [
        ((IMPORT, MEMORY), 0),
        ((IMPORT, MEMORY, data(1)), 4097),
        ((IMPORT, MEMORY, data(1, at=5000)), 4097),
        ((IMPORT, MEMORY, data(1, at=4095)), 8193),
        ((IMPORT, MEMORY, data(1, at=0), data(1, at=9000)), 12289),
        ((IMPORT, MEMORY, MEMORY, data(1), data(2)), 8193),
        ((IMPORT, SUM, MEMORY, data(1)), 4100),
        ((IMPORT, MEMORY, data(0, content=""), data(1)), 6),
    ],
)
def test_images_are_copied_by_host_pages_where_a_memory_is_imported(fields, fuel):
    assert cost(*fields) == fuel
