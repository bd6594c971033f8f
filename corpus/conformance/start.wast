;; The start function runs once, after the segments, before anything else can see the instance.

(module
  (memory 1)
  (data (i32.const 0) "A")
  (func $inc (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1))))
  (func $main (call $inc) (call $inc) (call $inc))
  (func (export "get") (result i32) (i32.load8_u (i32.const 0)))
  (export "inc" (func $inc))
  (start $main)
)
(assert_return (invoke "get") (i32.const 68))
(invoke "inc")
(assert_return (invoke "get") (i32.const 69))

(module (import "spectest" "print" (func $print)) (start $print))
(module
  (global $g (mut i32) (i32.const 1))
  (table 1 funcref)
  (elem (i32.const 0) func $set)
  (func $set (global.set $g (i32.const 2)))
  (func $main (call_indirect (i32.const 0)))
  (start $main)
  (func (export "g") (result i32) (global.get $g)))
(assert_return (invoke "g") (i32.const 2))

(assert_trap (module (func $main (unreachable)) (start $main)) "unreachable")
(assert_trap
  (module (memory 0) (func $main (drop (i32.load (i32.const 0)))) (start $main)) "out of bounds memory access")
(assert_invalid (module (func $main (param i32)) (start $main)) "start function")
(assert_invalid (module (func $main (result i32) (i32.const 0)) (start $main)) "start function")
(assert_invalid (module (func) (start 1)) "unknown function")
(assert_malformed (module quote "(func $a) (start $a) (start $a)") "multiple start sections")
