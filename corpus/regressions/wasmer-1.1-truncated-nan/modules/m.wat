(module
  (type (;0;) (func (param i32 f32) (result i32 i64)))
  (func (;0;) (type 0)
    (local f64)
    loop
      i32.const 0
      v128.const i32x4 0x00000001 0x00000000 0x00000000 0x00000000
      block (result v128)
        local.get 2
        f64.ceil
        f64.const 0x0.0000000000001p-1022
        f64.const 0x0.0p+0
        f64.const 0x0.0p+0
        f64.eq
        select
        f64.abs
        local.set 2
        v128.const i32x4 0x00000000 0x00000000 0x00000000 0x00000000
      end
      i64x2.ne
      i32x4.trunc_sat_f32x4_s
      v128.store64_lane align=2 0
      i32.const 0
      br_if 0
    end
    i32.const 0
    i64.const 0
  )
  (memory (;0;) 2 5)
  (export "f2" (func 0))
  (export "m0" (memory 0))
)
