(module
  (type (;0;) (func (param i32 f32) (result i64)))
  (type (;1;) (func (param f64 f64) (result f64)))
  (type (;2;) (func (param i32 externref) (result f64 i64)))
  (type (;3;) (func))
  (import "host" "log" (func (;0;) (type 0)))
  (func (;1;) (type 1)
    local.get 0
    local.get 1
    f64.copysign
  )
  (func (;2;) (type 2)
    i32.const 65532
    local.get 0
    i32.store align=4
    local.get 0
    f32.const -0x1.8000000000000p+0
    call 0
    i64.const 7
    i64.add
    f64.const nan:0x8000000000000
    f64.const -0x1.0000000000000p+0
    i32.const 0
    call_indirect 0 (type 1)
    global.set 0
    global.get 0
    f64.sqrt
    global.set 0
    drop
    f64.const -0x1.4000000000000p+1
    i64.const -1
  )
  (func (;3;) (type 3)
    i32.const 65533
    i32.load align=4
    drop
  )
  (table (;0;) 2 funcref)
  (memory (;0;) 1 2)
  (global (;0;) (mut f64) f64.const -0x0.0p+0)
  (export "m" (memory 0))
  (export "t" (table 0))
  (export "g" (global 0))
  (export "sign" (func 1))
  (export "all" (func 2))
  (export "trap" (func 3))
  (elem (;0;) (table 0) (offset i32.const 0) func 1)
  (@custom "name" (after code) "\01\0c\02\00\03log\01\04sign")
)
