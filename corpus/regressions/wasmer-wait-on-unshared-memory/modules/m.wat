(module
  (type (;0;) (func))
  (func (;0;) (type 0)
    (local i32)
    i32.const 0
    i64.const 1
    i64.const 0
    memory.atomic.wait64 align=8
    local.set 0
  )
  (memory (;0;) 2 3)
  (start 0)
)
