;; What a script itself can do: definitions, instances, quoted and binary modules, names, the current module.

(module definition $counter
  (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))
(module instance $a $counter)
(module instance $b $counter)
(assert_return (invoke $a "next") (i32.const 1))
(assert_return (invoke $a "next") (i32.const 2))
(assert_return (invoke $b "next") (i32.const 1))
(assert_return (invoke "next") (i32.const 2))   ;; the latest instance is the current one: $b
(register "a" $a)
(module (import "a" "next" (func $next (result i32))) (func (export "via") (result i32) (call $next)))
(assert_return (invoke "via") (i32.const 3))

(module quote "(func (export \"quoted\") (result i32)" "i32.const 5)")
(assert_return (invoke "quoted") (i32.const 5))
(module $binary binary
  "\00asm\01\00\00\00" "\01\05\01\60\00\01\7f" "\03\02\01\00" "\07\05\01\01f\00\00" "\0a\06\01\04\00\41\2a\0b")
(assert_return (invoke "f") (i32.const 42))
(assert_return (invoke $binary "f") (i32.const 42))

;; modules under assertions never become the current one
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_trap (module (func $f unreachable) (start $f)) "unreachable")
(assert_unlinkable (module (import "nobody" "nothing" (func))) "unknown import")
(assert_return (invoke "f") (i32.const 42))
((; a comment ;) module (@annotation "(" (x)) $annotated (func (@here) (export "g")))
(assert_return (invoke $annotated "g"))
(assert_return (invoke "g"))
