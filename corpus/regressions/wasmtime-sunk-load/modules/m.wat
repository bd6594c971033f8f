(module
  (type (;0;) (func (param i32 i64) (result i32)))
  (func (;0;) (type 0)
    global.get 0
    i32.eqz
    if
      i32.const 0
      return
    end
    i32.const 0
    global.set 0
    i32.const 0
    i32.const 0
    i64.const 0
    ref.func 0
    call_ref 0
    i32.const 131065
    i32.load offset=4 align=2
    i32.eq
    i32.store align=4
    i32.const 0
  )
  (memory (;0;) 2 5)
  (global (;0;) (mut i32) i32.const 0)
  (export "f2" (func 0))
  (export "work" (global 0))
)
