"""Small programs whose loops, calls, memory accesses and arithmetic are typical of what the engine runs.

Each exports ``run``, which takes an i32 that the running time is proportional to (``fib``: exponential in).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PROGRAMS", "Program"]


class Program(NamedTuple):
    """``calls`` says that the time goes into calls, ``argument`` is what to run it with, ``has_rival`` whether pywasm
    has the instructions."""

    name: str
    argument: int
    text: str
    calls: bool = False
    has_rival: bool = True


SUM = """
(func (export "run") (param $n i32) (result i32) (local $s i32)
  (loop $l
    (local.set $s (i32.add (local.get $s) (local.get $n)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $s))
"""

XORSHIFT = """
(func (export "run") (param $n i32) (result i64) (local $x i64)
  (local.set $x (i64.const 88172645463325252))
  (loop $l
    (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
    (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
    (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $x))
"""

SIEVE = """
(memory 1)
(func (export "run") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $count i32)
  (local.set $i (i32.const 2))
  (block $done
    (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (if (i32.eqz (i32.load8_u (local.get $i)))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $j (i32.shl (local.get $i) (i32.const 1)))
          (block $marked
            (loop $mark
              (br_if $marked (i32.ge_u (local.get $j) (local.get $n)))
              (i32.store8 (local.get $j) (i32.const 1))
              (local.set $j (i32.add (local.get $j) (local.get $i)))
              (br $mark)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
  (memory.fill (i32.const 0) (i32.const 0) (local.get $n))
  (local.get $count))
"""

MEMORY_SUM = """
(memory 1)
(func (export "run") (param $n i32) (result i64) (local $p i32) (local $s i64)
  (loop $l
    (i64.store offset=8 (local.get $p) (i64.add (i64.load offset=8 (local.get $p)) (i64.extend_i32_u (local.get $n))))
    (local.set $s (i64.add (local.get $s) (i64.load (local.get $p))))
    (local.set $p (i32.and (i32.add (local.get $p) (i32.const 24)) (i32.const 0x7fff)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $s))
"""

FIB = """
(func $fib (export "run") (param $n i32) (result i32)
  (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
    (then (local.get $n))
    (else
      (i32.add
        (call $fib (i32.sub (local.get $n) (i32.const 1)))
        (call $fib (i32.sub (local.get $n) (i32.const 2)))))))
"""

PI = """
(func (export "run") (param $n i32) (result f64) (local $s f64) (local $d f64) (local $sign f64)
  (local.set $d (f64.const 1))
  (local.set $sign (f64.const 4))
  (loop $l
    (local.set $s (f64.add (local.get $s) (f64.div (local.get $sign) (local.get $d))))
    (local.set $sign (f64.neg (local.get $sign)))
    (local.set $d (f64.add (local.get $d) (f64.const 2)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $s))
"""

SIMD_INTEGERS = """
(memory 1)
(data (i32.const 0) "\\01\\82\\03\\84\\05\\86\\07\\88\\09\\8a\\0b\\8c\\0d\\8e\\0f\\90")
(func (export "run") (param $n i32) (result i32) (local $v v128) (local $s v128)
  (local.set $v (v128.load (i32.const 0)))
  (loop $l
    (local.set $v (i8x16.add_sat_u (i8x16.avgr_u (local.get $v) (local.get $s)) (i8x16.splat (local.get $n))))
    (local.set $v (i8x16.swizzle (local.get $v) (v128.load (i32.const 0))))
    (local.set $s (i16x8.add (local.get $s) (i16x8.extmul_low_i8x16_s (local.get $v) (local.get $v))))
    (local.set $s (v128.xor (local.get $s) (i32x4.shr_u (local.get $v) (i32.const 3))))
    (v128.store (i32.const 32) (i16x8.max_s (local.get $s) (local.get $v)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i32x4.extract_lane 2 (i32x4.dot_i16x8_s (local.get $s) (v128.load (i32.const 32)))))
"""

SIMD_FLOATS = """
(func (export "run") (param $n i32) (result f64) (local $x v128) (local $y v128) (local $s v128)
  (local.set $x (v128.const f32x4 0.1 0.2 0.3 0.4))
  (local.set $y (v128.const f32x4 1 1.5 2 2.5))
  (loop $l
    (local.set $x (f32x4.mul (f32x4.add (local.get $x) (local.get $y)) (f32x4.splat (f32.const 0.5))))
    (local.set $y (f32x4.sqrt (f32x4.max (local.get $x) (f32x4.neg (local.get $y)))))
    (local.set $s (f64x2.add (local.get $s) (f64x2.promote_low_f32x4 (local.get $x))))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (f64x2.extract_lane 1 (local.get $s)))
"""


def _mix(a: int, b: int, c: int, d: int, x: int, y: int) -> str:
    """Return one G of BLAKE2b on locals v0 to v15 and the message words at x and y."""
    lines = []
    for word, rotations in ((x, (32, 24)), (y, (16, 63))):
        load = f"(i64.load offset={8 * word} (i32.const 128))"
        lines.append(f"(local.set $v{a} (i64.add (i64.add (local.get $v{a}) (local.get $v{b})) {load}))")
        for (to, of), by in zip(((d, a), (b, c)), rotations, strict=True):
            if to == b:
                lines.append(f"(local.set $v{c} (i64.add (local.get $v{c}) (local.get $v{d})))")
            xor = f"(i64.xor (local.get $v{to}) (local.get $v{of}))"
            lines.append(f"(local.set $v{to} (i64.rotr {xor} (i64.const {by})))")
    return "\n".join(lines)


def _hash() -> str:
    """Return a program that mixes 16 words as BLAKE2b does, a function call per block."""
    columns = [(i, 4 + i, 8 + i, 12 + i) for i in range(4)]
    diagonals = [(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4) for i in range(4)]
    steps = [
        _mix(*abcd, (2 * i + 3 * r) % 16, (2 * i + 5 * r + 1) % 16)
        for r in range(3)
        for i, abcd in enumerate(columns + diagonals)
    ]
    names = [f"$v{i}" for i in range(16)]
    load = "\n".join(f"(local.set {v} (i64.load offset={8 * i} (i32.const 0)))" for i, v in enumerate(names))
    store = "\n".join(f"(i64.store offset={8 * i} (i32.const 0) (local.get {v}))" for i, v in enumerate(names))
    return f"""
(memory 1)
(data (i32.const 0) "{"".join(f"{chr(92)}{(37 * i + 11) % 256:02x}" for i in range(256))}")
(func $compress {" ".join(f"(local {v} i64)" for v in names)}
  {load}
  {chr(10).join(steps)}
  {store})
(func (export "run") (param $n i32) (result i64)
  (loop $l
    (call $compress)
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i64.load (i32.const 0)))
"""


OBJECTS = """
(type $t (struct (field i32) (field (mut (ref null $t))) (field (mut (ref null $t)))))
(func $tree (param $depth i32) (result (ref $t)) (local $t (ref $t))
  (local.set $t (struct.new $t (local.get $depth) (ref.null $t) (ref.null $t)))
  (if (local.get $depth)
    (then
      (struct.set $t 1 (local.get $t) (call $tree (i32.sub (local.get $depth) (i32.const 1))))
      (struct.set $t 2 (local.get $t) (call $tree (i32.sub (local.get $depth) (i32.const 1))))))
  (local.get $t))
(func $sum (param $t (ref null $t)) (result i32)
  (block $null
    (br_on_null $null (local.get $t))
    (drop)
    (return
      (i32.add (struct.get $t 0 (local.get $t))
        (i32.add (call $sum (struct.get $t 1 (local.get $t))) (call $sum (struct.get $t 2 (local.get $t)))))))
  (i32.const 0))
(func (export "run") (param $n i32) (result i32) (call $sum (call $tree (local.get $n))))
"""

ARRAYS = """
(type $a (array (mut i32)))
(func (export "run") (param $n i32) (result i32)
  (local $a (ref $a)) (local $b anyref) (local $i i32) (local $s i32)
  (local.set $a (array.new $a (i32.const 1) (local.get $n)))
  (local.set $b (local.get $a))
  (loop $l
    (array.set $a (local.get $a) (local.get $i) (i32.add (local.get $i) (array.get $a (local.get $a) (local.get $i))))
    (local.set $s
      (i32.add (local.get $s)
        (array.get $a (ref.cast (ref $a) (local.get $b)) (i32.shr_u (local.get $i) (i32.const 1)))))
    (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (array.len (local.get $a)))))
  (local.get $s))
"""

PROGRAMS = (
    Program("sum", 30_000, SUM),
    Program("xorshift", 12_000, XORSHIFT),
    Program("sieve", 6_000, SIEVE),
    Program("memory sum", 6_000, MEMORY_SUM),
    Program("fib", 16, FIB, calls=True),
    Program("blake2b", 60, _hash()),
    Program("f64 pi", 15_000, PI),
    Program("simd ints", 1_000, SIMD_INTEGERS),
    Program("simd floats", 2_000, SIMD_FLOATS),
    Program("objects", 9, OBJECTS, calls=True, has_rival=False),
    Program("arrays", 3_000, ARRAYS, has_rival=False),
)
