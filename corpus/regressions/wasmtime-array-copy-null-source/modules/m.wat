(module
  (type (;0;) (sub (struct (field (mut (ref null 0))) (field (mut (ref null 0))) (field (mut f32)))))
  (type (;1;) (sub (array (mut i16))))
  (type (;2;) (func (param f32 i32 arrayref) (result f64)))
  (type (;3;) (func (param f32 (ref null 1) v128)))
  (type (;4;) (func (param arrayref i64 anyref) (result f64)))
  (type (;5;) (func))
  (type (;6;) (func (param i64 eqref)))
  (type (;7;) (func (result i64 eqref)))
  (type (;8;) (func (result i64 eqref exnref)))
  (func (;0;) (type 2)
    i32.const 0
    array.new_default 1
    i32.const 1
    global.get 0
    i32.const 0
    i32.const 0
    array.copy 1 1
    f64.const 0x0.0p+0
  )
  (func (;1;) (type 4)
    f32.const 0x0.0p+0
    i32.const 0
    i32.const 0
    i32.const 0
    array.new 1
    i32.const 2
    call_indirect 0 (type 2)
    drop
    f64.const 0x0.0p+0
  )
  (table (;0;) 8 12 funcref)
  (global (;0;) (mut (ref null 1)) ref.null 1)
  (export "f3" (func 1))
  (elem (;0;) (table 0) (offset i32.const 1) funcref (item ref.func 1) (item ref.func 0))
)
