(module
  (type (;0;) (func (param v128 v128) (result v128)))
  (func (;0;) (type 0)
    local.get 0
    local.get 1
    i8x16.swizzle
    local.get 1
    v128.xor
  )
  (export "f" (func 0))
)
