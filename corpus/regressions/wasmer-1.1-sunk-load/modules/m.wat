(module
  (type (;0;) (func (param i32) (result f32)))
  (func (;0;) (type 0)
    local.get 0
    f32.load align=4
    f32.ceil
  )
  (memory (;0;) 1)
  (export "f" (func 0))
)
