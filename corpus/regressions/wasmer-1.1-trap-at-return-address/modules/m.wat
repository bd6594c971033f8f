(module
  (type (;0;) (func (param i32)))
  (func (;0;) (type 0)
    local.get 0
    i32.eqz
    if
      return
    end
    local.get 0
    i32.const 1
    i32.sub
    call 0
    unreachable
  )
  (export "f" (func 0))
  (@custom "name" (after code) "\01\04\01\00\01f")
)
