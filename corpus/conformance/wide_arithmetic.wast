;; 128-bit addition, subtraction and multiplication on pairs of i64, the low half first (proposal: wide-arithmetic).

(module
  (func (export "add") (param i64 i64 i64 i64) (result i64 i64)
    (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "sub") (param i64 i64 i64 i64) (result i64 i64)
    (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "mul_s") (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))
  (func (export "mul_u") (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))
  ;; operands on the stack below stay what they are, and results are consumed by the next instruction
  (func (export "chain") (param i64) (result i64 i64 i64)
    (local.get 0)
    (i64.mul_wide_u (local.get 0) (local.get 0))
    (local.set 0 (i64.const 9))
    (i64.const 1)
    (i64.const 0)
    i64.add128)
  (func (export "constants") (result i64 i64)
    (i64.mul_wide_s (i64.const -3) (i64.const 5))
    (i64.const -1)
    (i64.const 0)
    i64.sub128)
)

(assert_return (invoke "add" (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)) (i64.const 4) (i64.const 6))
(assert_return (invoke "add" (i64.const -1) (i64.const 0) (i64.const 1) (i64.const 0)) (i64.const 0) (i64.const 1))
(assert_return (invoke "add" (i64.const -1) (i64.const -1) (i64.const 1) (i64.const 0)) (i64.const 0) (i64.const 0))
(assert_return (invoke "add" (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1))
  (i64.const -2) (i64.const -1))
(assert_return (invoke "add" (i64.const 0x8000000000000000) (i64.const 0) (i64.const 0x8000000000000000) (i64.const 0))
  (i64.const 0) (i64.const 1))

(assert_return (invoke "sub" (i64.const 3) (i64.const 4) (i64.const 1) (i64.const 2)) (i64.const 2) (i64.const 2))
(assert_return (invoke "sub" (i64.const 0) (i64.const 1) (i64.const 1) (i64.const 0)) (i64.const -1) (i64.const 0))
(assert_return (invoke "sub" (i64.const 0) (i64.const 0) (i64.const 1) (i64.const 0)) (i64.const -1) (i64.const -1))
(assert_return (invoke "sub" (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0x8000000000000000))
  (i64.const 0) (i64.const 0x8000000000000000))

(assert_return (invoke "mul_s" (i64.const -1) (i64.const -1)) (i64.const 1) (i64.const 0))
(assert_return (invoke "mul_s" (i64.const -1) (i64.const 1)) (i64.const -1) (i64.const -1))
(assert_return (invoke "mul_s" (i64.const 0x8000000000000000) (i64.const 0x8000000000000000))
  (i64.const 0) (i64.const 0x4000000000000000))
(assert_return (invoke "mul_s" (i64.const 0x8000000000000000) (i64.const -1))
  (i64.const 0x8000000000000000) (i64.const 0))
(assert_return (invoke "mul_s" (i64.const 0x7fffffffffffffff) (i64.const 0x7fffffffffffffff))
  (i64.const 1) (i64.const 0x3fffffffffffffff))

(assert_return (invoke "mul_u" (i64.const -1) (i64.const -1)) (i64.const 1) (i64.const -2))
(assert_return (invoke "mul_u" (i64.const -1) (i64.const 1)) (i64.const -1) (i64.const 0))
(assert_return (invoke "mul_u" (i64.const 0x8000000000000000) (i64.const 2)) (i64.const 0) (i64.const 1))
(assert_return (invoke "mul_u" (i64.const 0x123456789abcdef0) (i64.const 0x0fedcba987654321))
  (i64.const 0x2236d88fe5618cf0) (i64.const 0x0121fa00ad77d742))

(assert_return (invoke "chain" (i64.const 0x1_0000_0000)) (i64.const 0x1_0000_0000) (i64.const 1) (i64.const 1))
(assert_return (invoke "constants") (i64.const -14) (i64.const -2))

(assert_invalid
  (module (func (result i64 i64) (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0))))
  "type mismatch")
(assert_invalid
  (module (func (result i64) (i64.mul_wide_s (i64.const 0) (i64.const 0))))
  "type mismatch")
(assert_invalid
  (module (func (result i64 i64) (i64.mul_wide_u (i64.const 0) (i32.const 0))))
  "type mismatch")
