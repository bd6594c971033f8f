(module
  (rec (type (;0;) (sub (struct (field (mut i32))))) (type (;1;) (sub 0 (struct (field (mut i32))))))
  (type (;2;) (func (param (ref null 1) i32) (result i32)))
  (func (;0;) (type 2)
    i64.const 2
    i32.const 0
    memory.atomic.notify offset=18446744073709551615 align=4
    drop
    i32.const 0
  )
  (memory (;0;) i64 1 2)
  (export "f1" (func 0))
)
