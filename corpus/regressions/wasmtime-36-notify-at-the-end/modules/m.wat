(module
  (type (;0;) (func (param i32 i64)))
  (func (;0;) (type 0)
    i32.const 65532
    i32.const 0
    memory.atomic.notify align=4
    drop
  )
  (memory (;0;) 1 2)
  (export "f0" (func 0))
)
