(module
  (type (;0;) (func (param v128) (result v128)))
  (func (;0;) (type 0)
    local.get 0
    f64x2.abs
    v128.not
  )
  (export "f" (func 0))
)
