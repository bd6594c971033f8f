(module
  (type (;0;) (func (param v128) (result v128)))
  (func (;0;) (type 0)
    v128.const i32x4 0x00000000 0x00000000 0x00000001 0x00000000
    i32.const 0
    f64.load align=2
    f64x2.replace_lane 0
  )
  (memory (;0;) 2 2)
  (export "f2" (func 0))
)
