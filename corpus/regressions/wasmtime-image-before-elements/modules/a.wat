(module
  (type (;0;) (func (result i32)))
  (func (;0;) (type 0)
    i32.const 0
    call_indirect 0 (type 0)
  )
  (table (;0;) 2 funcref)
  (export "t" (table 0))
  (export "f" (func 0))
  (@custom "name" (after code) "\04\04\01\00\01g")
)
