(module
  (type (;0;) (func (result i32)))
  (import "a" "t" (table (;0;) 2 funcref))
  (func (;0;) (type 0)
    i32.const 8
    i32.load align=4
  )
  (memory (;0;) 1)
  (elem (;0;) (table 0) (offset i32.const 0) func 0)
  (elem (;1;) (table 0) (offset i32.const 2) func 0)
  (data (;0;) (memory 0) (offset i32.const 8) "\05")
  (@custom "name" (after data) "\01\06\01\00\03get")
)
