(module
  (type (;0;) (array (mut arrayref)))
  (type (;1;) (func (param i32 i32 i32)))
  (type (;2;) (func (param i32 i32) (result i32)))
  (func (;0;) (type 1)
    global.get 0
    local.get 0
    i32.const 0
    i32.const 1
    array.init_elem 0 0
  )
  (func (;1;) (type 2)
    global.get 0
    i32.const 0
    array.get 0
    global.get 0
    i32.const 1
    array.get 0
    ref.eq
  )
  (global (;0;) (ref 0) i32.const 2 array.new_default 0)
  (export "array_init_elem" (func 0))
  (export "array_eq_elems" (func 1))
  (elem (;0;) arrayref (item i32.const 1 array.new_default 0))
)
