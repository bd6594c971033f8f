(module
  (type (;0;) (func (param v128 v128) (result v128)))
  (func (;0;) (type 0)
    local.get 0
    local.get 1
    f32x4.relaxed_min
  )
  (export "p0" (func 0))
)
