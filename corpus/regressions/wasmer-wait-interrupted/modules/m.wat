(module
  (type (;0;) (func (param f64) (result funcref)))
  (func (;0;) (type 0)
    i32.const 0
    i64.const 0
    i64.const 0
    memory.atomic.wait64 align=8
    drop
    ref.null func
  )
  (memory (;0;) 1 3)
  (export "f4" (func 0))
)
