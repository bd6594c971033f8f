(module
  (type (;0;) (func (param v128 v128 i32) (result v128)))
  (func (;0;) (type 0)
    local.get 0
    local.get 1
    local.get 2
    select
  )
  (export "f" (func 0))
)
