"""The modules of the conformance kit: text for the reader, bytes for engines without an assembler.

A test assembles every text and compares it with the bytes beside it.  Standard library only, syntax of CPython 3.10.
"""

from __future__ import annotations

import base64

__all__ = ["TEXTS", "binary"]

TEXTS: dict[str, str] = {
    "echo": r"""(module
  (func (export "i32") (param i32) (result i32) local.get 0)
  (func (export "i64") (param i64) (result i64) local.get 0)
  (func (export "f32") (param f32) (result f32) local.get 0)
  (func (export "f64") (param f64) (result f64) local.get 0))""",
    "echo_vector": r"""(module (func (export "v128") (param v128) (result v128) local.get 0))""",
    "echo_reference": r"""(module
  (func (export "funcref") (param funcref) (result funcref) local.get 0)
  (func (export "externref") (param externref) (result externref) local.get 0))""",
    "objects": r"""(module
  (type $s (struct (field i32)))
  (type $a (array i8))
  (global (export "object") (mut anyref) (struct.new $s (i32.const 1)))
  (table (export "objects") 3 eqref)
  (elem (table 0) (i32.const 1) eqref (ref.i31 (i32.const -1)) (array.new_default $a (i32.const 2)))
  (func (export "any") (param anyref) (result anyref) local.get 0)
  (func (export "eq") (param eqref) (result eqref) local.get 0)
  (func (export "struct") (param (ref null $s)) (result structref) local.get 0)
  (func (export "make") (result structref arrayref i31ref)
    i32.const 7 struct.new $s i32.const 1 array.new_default $a i32.const -2 ref.i31)
  (func (export "internal") (param externref) (result anyref) local.get 0 any.convert_extern)
  (func (export "external") (param i32) (result externref) local.get 0 table.get 0 extern.convert_any))""",
    "many": r"""(module
  (func (export "swap") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    local.get 3 local.get 2 local.get 1 local.get 0)
  (func (export "none")))""",
    "traps": r"""(module
  (type $v (func)) (type $i (func (result i32)))
  (memory 1) (table 3 funcref) (elem (i32.const 1) $one)
  (func $one (type $i) i32.const 1)
  (func (export "unreachable") unreachable)
  (func (export "divide") (param i32 i32) (result i32) local.get 0 local.get 1 i32.div_s)
  (func (export "truncate") (param f64) (result i32) local.get 0 i32.trunc_f64_s)
  (func (export "load") (param i32) (result i32) local.get 0 i32.load)
  (func (export "indirect") (param i32) (result i32) local.get 0 call_indirect (type $i))
  (func (export "mismatch") (param i32) local.get 0 call_indirect (type $v))
  (func $down (export "recurse") (result i32) call $down i32.const 1 i32.add))""",
    "trap_table": r"""(module
  (table 2 funcref)
  (func (export "get") (param i32) (result i32) local.get 0 table.get 0 ref.is_null))""",
    "state": r"""(module
  (memory (export "memory") 1 3)
  (table (export "table") 3 5 funcref)
  (global (export "counter") (mut i64) (i64.const -2))
  (global (export "fixed") f32 (f32.const nan:0x200001))
  (elem (i32.const 1) $store)
  (func $store (export "store") (param i32 i32) local.get 0 local.get 1 i32.store)
  (func (export "load") (param i32) (result i32) local.get 0 i32.load)
  (func (export "size") (result i32) memory.size)
  (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
  (func (export "count") (result i64)
    global.get 0 i64.const 1 i64.add global.set 0 global.get 0))""",
    "wide": r"""(module
  (memory (export "memory") 1)
  (table (export "table") 1 funcref)
  (func (export "grow") (param i32) (result i32) local.get 0 memory.grow))""",
    "table_grow": r"""(module
  (table (export "table") 1 funcref)
  (func (export "grow") (param i32) (result i32) ref.null func local.get 0 table.grow 0))""",
    "host": r"""(module
  (import "env" "f" (func $f (param i32 f64) (result i64)))
  (memory (export "memory") 1 4)
  (table (export "table") 2 funcref)
  (global (export "global") (mut i32) (i32.const 1))
  (func (export "call") (param i32 f64) (result i64) local.get 0 local.get 1 call $f)
  (func (export "load") (param i32) (result i32) local.get 0 i32.load)
  (func (export "fail") unreachable)
  (func (export "bump") global.get 0 i32.const 1 i32.add global.set 0))""",
    "provider": r"""(module
  (memory (export "memory") 1)
  (global (export "global") i32 (i32.const 42))
  (func (export "func") (result i32) i32.const 0 i32.load))""",
    "consumer": r"""(module
  (import "lib" "memory" (memory 1))
  (import "lib" "func" (func $func (result i32)))
  (import "lib" "global" (global $g i32))
  (export "again" (func $func))
  (func (export "run") (result i32)
    i32.const 0 global.get $g i32.store call $func))""",
    "mistyped": r"""(module (import "lib" "func" (func (param i64))) (func (export "run")))""",
    "start_traps": r"""(module (func $s unreachable) (start $s) (func (export "run")))""",
    "segment_traps": r"""(module
  (import "lib" "memory" (memory 1))
  (data (i32.const 8) "kept") (data (i32.const 65535) "gone"))""",
    "ill_typed": r"""(module (func (export "run") (result i32) i64.const 0))""",
    "loop": r"""(module
  (func (export "spin") (loop br 0))
  (func (export "one") (result i32) i32.const 1))""",
    "functions": r"""(module
  (import "env" "f" (func $f (param i32 f64) (result i64)))
  (table (export "table") 4 funcref)
  (elem (i32.const 0) $private $public $f)
  (func $private)
  (func $public (export "public"))
  (func (export "pick") (param i32) (result funcref) local.get 0 table.get 0)
  (export "alias" (func $public)))""",
    "exceptions": r"""(module
  (import "env" "f" (func $f))
  (tag $tag (export "tag") (param i32 f64))
  (func $throw (export "throw") (param i32 f64) local.get 0 local.get 1 throw $tag)
  (func (export "catch") (param i32 f64) (result i32 f64)
    (block $caught (result i32 f64)
      (try_table (catch $tag $caught) local.get 0 local.get 1 call $throw)
      unreachable))
  (func (export "call") call $f)
  (func (export "call and catch") (result i32 f64)
    (block $caught (result i32 f64)
      (try_table (catch $tag $caught) call $f)
      i32.const 0 f64.const 0))
  (func (export "fail") (try_table (catch_all 0) unreachable)))""",
    "slices": r"""(module
  (import "env" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 1)
  (global (export "global") (mut i32) (i32.const 0))
  (func (export "count") (param i32)
    (loop
      (global.set 0 (i32.add (global.get 0) (i32.const 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $host (export "host") (param i32) (result i32) global.get 0 local.get 0 call $f i32.add)
  (func $divide (param i32) (result i32) i32.const 1 local.get 0 i32.div_u)
  (func (export "divide") (param i32) (result i32) local.get 0 call $divide i32.const 1 i32.add)
  (func (export "through") (param i32) (result i32) nop local.get 0 call $host))""",
}

_BINARIES: dict[str, str] = {
    "echo": (
        "AGFzbQEAAAABFQRgAX8Bf2ABfgF+YAF9AX1gAXwBfAMFBAABAgMHGQQDaTMyAAADaTY0AAEDZjMyAAIDZjY0AAMKFQQEACAACwQA"
        "IAALBAAgAAsEACAACw=="
    ),
    "echo_vector": "AGFzbQEAAAABBgFgAXsBewMCAQAHCAEEdjEyOAAACgYBBAAgAAs=",
    "echo_reference": "AGFzbQEAAAABCwJgAXABcGABbwFvAwMCAAEHFwIHZnVuY3JlZgAACWV4dGVybnJlZgABCgsCBAAgAAsEACAACw==",
    "objects": (
        "AGFzbQEAAAABKAhfAX8AXngAYAFuAW5gAW0BbWABYwABa2AAA2tqbGABbwFuYAF/AW8DBwYCAwQFBgcEBAFtAAMGCQFuAUEB+wAACwdF"
        "CAZvYmplY3QDAAdvYmplY3RzAQADYW55AAACZXEAAQZzdHJ1Y3QAAgRtYWtlAAMIaW50ZXJuYWwABAhleHRlcm5hbAAFCRMBBgBBAQtt"
        "AkF/+xwLQQL7BwELCjEGBAAgAAsEACAACwQAIAALEABBB/sAAEEB+wcBQX77HAsGACAA+xoLCAAgACUA+xsLAA4EbmFtZQQHAgABcwEB"
        "YQ=="
    ),
    "many": "AGFzbQEAAAABDwJgBH9+fXwEfH1+f2AAAAMDAgABBw8CBHN3YXAAAARub25lAAEKDwIKACADIAIgASAACwIACw==",
    "traps": (
        "AGFzbQEAAAABHAZgAABgAAF/YAJ/fwF/YAF8AX9gAX8Bf2ABfwADCQgBAAIDBAQFAQQEAXAAAwUDAQABB0oHC3VucmVhY2hhYmxl"
        "AAEGZGl2aWRlAAIIdHJ1bmNhdGUAAwRsb2FkAAQIaW5kaXJlY3QABQhtaXNtYXRjaAAGB3JlY3Vyc2UABwkHAQBBAQsBAAo4CAQA"
        "QQELAwAACwcAIAAgAW0LBQAgAKoLBwAgACgCAAsHACAAEQEACwcAIAARAAALBwAQB0EBagsAHARuYW1lAQwCAANvbmUHBGRvd24E"
        "BwIAAXYBAWk="
    ),
    "trap_table": "AGFzbQEAAAABBgFgAX8BfwMCAQAEBAFwAAIHBwEDZ2V0AAAKCQEHACAAJQDRCw==",
    "state": (
        "AGFzbQEAAAABEwRgAn9/AGABfwF/YAABf2AAAX4DBgUAAQIBAwQFAXABAwUFBAEBAQMGDgJ+AUJ+C30AQwEAoH8LB0kJBm1lbW9y"
        "eQIABXRhYmxlAQAHY291bnRlcgMABWZpeGVkAwEFc3RvcmUAAARsb2FkAAEEc2l6ZQACBGdyb3cAAwVjb3VudAAECQcBAEEBCwEA"
        "CisFCQAgACABNgIACwcAIAAoAgALBAA/AAsGACAAQAALCwAjAEIBfCQAIwALAA8EbmFtZQEIAQAFc3RvcmU="
    ),
    "wide": "AGFzbQEAAAABBgFgAX8BfwMCAQAEBAFwAAEFAwEAAQcZAwZtZW1vcnkCAAV0YWJsZQEABGdyb3cAAAoIAQYAIABAAAs=",
    "table_grow": "AGFzbQEAAAABBgFgAX8BfwMCAQAEBAFwAAEHEAIFdGFibGUBAARncm93AAAKCwEJANBwIAD8DwAL",
    "host": (
        "AGFzbQEAAAABDwNgAn98AX5gAX8Bf2AAAAIJAQNlbnYBZgAAAwUEAAECAgQEAXAAAgUEAQEBBAYGAX8BQQELBzcHBm1lbW9yeQIA"
        "BXRhYmxlAQAGZ2xvYmFsAwAEY2FsbAABBGxvYWQAAgRmYWlsAAMEYnVtcAAECiAECAAgACABEAALBwAgACgCAAsDAAALCQAjAEEB"
        "aiQACwALBG5hbWUBBAEAAWY="
    ),
    "provider": "AGFzbQEAAAABBQFgAAF/AwIBAAUDAQABBgYBfwBBKgsHGgMGbWVtb3J5AgAGZ2xvYmFsAwAEZnVuYwAACgkBBwBBACgCAAs=",
    "consumer": (
        "AGFzbQEAAAABBQFgAAF/AigDA2xpYgZtZW1vcnkCAAEDbGliBGZ1bmMAAANsaWIGZ2xvYmFsA38AAwIBAAcPAgVhZ2FpbgAAA3J1"
        "bgABCg0BCwBBACMANgIAEAALABQEbmFtZQEHAQAEZnVuYwcEAQABZw=="
    ),
    "mistyped": "AGFzbQEAAAABCAJgAX4AYAAAAgwBA2xpYgRmdW5jAAADAgEBBwcBA3J1bgABCgQBAgAL",
    "start_traps": "AGFzbQEAAAABBAFgAAADAwIAAAcHAQNydW4AAQgBAAoIAgMAAAsCAAsACwRuYW1lAQQBAAFz",
    "segment_traps": "AGFzbQEAAAACDwEDbGliBm1lbW9yeQIAAQsVAgBBCAsEa2VwdABB//8DCwRnb25l",
    "ill_typed": "AGFzbQEAAAABBQFgAAF/AwIBAAcHAQNydW4AAAoGAQQAQgAL",
    "loop": "AGFzbQEAAAABCAJgAABgAAF/AwMCAAEHDgIEc3BpbgAAA29uZQABCg4CBwADQAwACwsEAEEBCw==",
    "functions": (
        "AGFzbQEAAAABDwNgAn98AX5gAABgAX8BcAIJAQNlbnYBZgAAAwQDAQECBAQBcAAEByEEBXRhYmxlAQAGcHVibGljAAIEcGljawAD"
        "BWFsaWFzAAIJCQEAQQALAwECAAoOAwIACwIACwYAIAAlAAsAHARuYW1lARUDAAFmAQdwcml2YXRlAgZwdWJsaWM="
    ),
    "exceptions": (
        "AGFzbQEAAAABFQRgAABgAn98AGACf3wCf3xgAAJ/fAIJAQNlbnYBZgAAAwYFAQIAAwANAwEAAQc2BgN0YWcEAAV0aHJvdwABBWNhdGNo"
        "AAIEY2FsbAADDmNhbGwgYW5kIGNhdGNoAAQEZmFpbAAFCkcFCAAgACABCAALEwACAx9AAQAAACAAIAEQAQsACwsEABAACxkAAgMfQAEA"
        "AAAQAAtBAEQAAAAAAAAAAAsLCQAfQAECAAALCwAxBG5hbWUBCwIAAWYBBXRocm93AxUCAgEABmNhdWdodAQBAAZjYXVnaHQLBgEAA3Rh"
        "Zw=="
    ),
    "slices": (
        "AGFzbQEAAAABCgJgAX8Bf2ABfwACCQEDZW52AWYAAAMGBQEAAAAABQMBAAEGBgF/AUEACwc1BgZtZW1vcnkCAAZnbG9iYWwDAAVjb3VudAABBGhv"
        "c3QAAgZkaXZpZGUABAd0aHJvdWdoAAUKOwUVAANAIwBBAWokACAAQQFrIgANAAsLCQAjACAAEABqCwcAQQEgAG4LCQAgABADQQFqCwcAASAAEAIL"
        "ABkEbmFtZQESAwABZgIEaG9zdAMGZGl2aWRl"
    ),
}


def binary(name: str) -> bytes:
    """Return the bytes of a module of the kit."""
    return base64.b64decode(_BINARIES[name])
