(module
  (type (;0;) (func (param v128 v128) (result v128)))
  (func (;0;) (type 0)
    local.get 0
    i32x4.extend_low_i16x8_s
    local.get 1
    i32x4.mul
  )
)
