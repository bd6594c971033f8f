;; Recursive groups: equal groups are equal types, also between modules; subtypes link, call and return.

(module $exports
  (rec (type $t (sub (struct (field (ref null $u))))) (type $u (sub (struct (field (ref null $t))))))
  (type $super (sub (func (result (ref null $t)))))
  (type $sub (sub $super (func (result (ref null $t)))))
  (func (export "sub") (type $sub) (ref.null $t))
  (func (export "super") (type $super) (ref.null none))
  (global (export "t") (ref null $t) (ref.null $t))
  (global (export "mutable") (mut (ref null $t)) (ref.null $t))
  (table (export "table") 2 (ref null $super)))
(register "m" $exports)

(module
  (rec (type $x (sub (struct (field (ref null $y))))) (type $y (sub (struct (field (ref null $x))))))
  (type $super (sub (func (result (ref null $x)))))
  (type $sub (sub $super (func (result (ref null $x)))))
  (func $sub (import "m" "sub") (type $sub))
  (func $as_super (import "m" "sub") (type $super))
  (global (import "m" "t") structref)
  (global (import "m" "mutable") (mut (ref null $x)))
  (table $table (import "m" "table") 1 (ref null $super))
  (elem declare func $as_super)
  (func (export "set") (table.set $table (i32.const 0) (ref.func $as_super)))
  (func (export "call sub") (result anyref) (call_indirect $table (type $sub) (i32.const 0)))
  (func (export "call super") (result anyref) (call_indirect $table (type $super) (i32.const 0)))
  (func (export "call null") (result anyref) (call_indirect $table (type $super) (i32.const 1)))
  (func (export "is sub") (result i32) (ref.test (ref $sub) (ref.func $as_super)))
  (func (export "subtype of result") (result eqref) (call $sub)))
(assert_return (invoke "set"))
(assert_return (invoke "call sub") (ref.null any))
(assert_return (invoke "call super") (ref.null any))
(assert_trap (invoke "call null") "uninitialized element")
(assert_return (invoke "is sub") (i32.const 1))
(assert_return (invoke "subtype of result") (ref.null any))

(assert_unlinkable
  (module
    (rec (type $x (sub (struct (field (ref null $y))))) (type $y (sub (struct (field (ref null $x))))))
    (type $super (sub (func (result (ref null $x)))))
    (type $sub (sub $super (func (result (ref null $x)))))
    (func (import "m" "super") (type $sub)))
  "incompatible import type")
(assert_unlinkable
  (module
    (rec (type $y (sub (struct (field (ref null $x))))) (type $x (sub (struct (field (ref null $y))))) (type (func)))
    (global (import "m" "t") (ref null $x)))
  "incompatible import type")
(assert_unlinkable
  (module (global (import "m" "mutable") (mut structref)))
  "incompatible import type")
(assert_unlinkable
  (module (table (import "m" "table") 1 funcref))
  "incompatible import type")

(module
  (type $f (sub (func)))
  (type $g (sub final $f (func)))
  (table 1 funcref)
  (elem (i32.const 0) func 0)
  (func (type $f))
  (func (export "wrong") (call_indirect (type $g) (i32.const 0))))
(assert_trap (invoke "wrong") "indirect call type mismatch")

(assert_invalid
  (module (type $f (func)) (type $g (sub $f (func))))
  "sub type")
(assert_invalid
  (module (rec (type $x (struct (field (ref $y))))) (type $y (struct)))
  "unknown type")
(assert_invalid
  (module (type $a (sub (array (mut eqref)))) (type $b (sub $a (array (mut i31ref)))))
  "sub type")
