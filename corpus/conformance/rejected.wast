;; Modules that must be refused, each for one reason, and close neighbours that must not.

;; operand stack
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_invalid (module (func (result i32) (i64.const 0))) "type mismatch")
(assert_invalid (module (func (i32.const 0))) "type mismatch")
(assert_invalid (module (func (i32.add (i32.const 0)) (drop))) "type mismatch")
(assert_invalid (module (func (param f32) (result i32) (i32.eqz (local.get 0)))) "type mismatch")
(assert_invalid (module (func (drop))) "type mismatch")
(assert_invalid (module (func (result i32) (i32.const 0) (block (drop)) (i32.const 0))) "type mismatch")
(assert_invalid (module (func (unreachable) (i64.const 0) (i32.add) (drop))) "type mismatch")
(module (func (unreachable) (i32.add) (drop)))
(assert_invalid (module (func (param i32 i64) (drop (select (local.get 0) (local.get 1) (i32.const 0))))) "type mismatch")
(assert_invalid (module (func (param externref) (drop (select (local.get 0) (local.get 0) (i32.const 0))))) "type mismatch")
(assert_invalid (module (func (param i32) (drop (select (result i64) (local.get 0) (local.get 0) (i32.const 0))))) "type mismatch")
(module (func (param externref) (drop (select (result externref) (local.get 0) (local.get 0) (i32.const 0)))))

;; control
(assert_invalid (module (func (br 1))) "unknown label")
(assert_invalid (module (func (block (result i32) (br 0)) (drop))) "type mismatch")
(assert_invalid (module (func (if (result i32) (i32.const 0) (then (i32.const 1))) (drop))) "type mismatch")
(assert_invalid (module (func (result i32) (block (result i32) (block (br_table 0 1 (i32.const 1) (i32.const 0))) (i32.const 0)))) "type mismatch")
(assert_invalid (module (func (loop (param i32) (drop)))) "type mismatch")
(assert_invalid (module (func (result i32) (if (result i32) (i64.const 0) (then (i32.const 0)) (else (i32.const 0))))) "type mismatch")
(assert_invalid (module (func (return (i32.const 0)) (i32.const 1))) "type mismatch")
(assert_invalid (module (func (result i32) (return))) "type mismatch")
(assert_invalid (module (func (call 1))) "unknown function")
(assert_invalid (module (func (param i32)) (func (call 0))) "type mismatch")
(assert_invalid (module (func (call_indirect (i32.const 0)))) "unknown table")
(assert_invalid (module (table 1 externref) (func (call_indirect (i32.const 0)))) "type mismatch")
(assert_invalid (module (table 1 funcref) (func (call_indirect (type 9) (i32.const 0)))) "unknown type")

;; variables
(assert_invalid (module (func (drop (local.get 0)))) "unknown local")
(assert_invalid (module (func (param i32) (local.set 0 (i64.const 0)))) "type mismatch")
(assert_invalid (module (func (drop (global.get 0)))) "unknown global")
(assert_invalid (module (global i32 (i32.const 0)) (func (global.set 0 (i32.const 1)))) "immutable global")
(assert_invalid (module (global i32 (i64.const 0))) "type mismatch")
(assert_invalid (module (global i32 (i32.eqz (i32.const 0)))) "constant expression required")
(assert_invalid (module (import "spectest" "global_i32" (global (mut i32))) (global i32 (global.get 0))) "constant expression required")

;; memories and tables
(assert_invalid (module (func (drop (i32.load (i32.const 0))))) "unknown memory")
(assert_invalid (module (func (drop (memory.size)))) "unknown memory")
(assert_invalid (module (memory 1) (func (drop (i32.load align=8 (i32.const 0))))) "alignment must not be larger than natural")
(module (memory 1) (func (drop (i64.load align=8 (i32.const 0)))))
(assert_invalid (module (memory 2 1)) "size minimum must not be greater than maximum")
(assert_invalid (module (memory 65537)) "memory size must be at most 65536 pages (4GiB)")
(assert_invalid (module (table 2 1 funcref)) "size minimum must not be greater than maximum")
(assert_invalid (module (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))) "unknown memory")
(assert_invalid (module (memory 1) (func (memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0)))) "unknown data segment")
(assert_invalid (module (memory 1) (func (data.drop 0))) "unknown data segment")
(assert_invalid (module (table 1 funcref) (func (elem.drop 0))) "unknown elem segment")
(assert_invalid (module (table 1 funcref) (elem externref) (func (table.init 0 0 (i32.const 0) (i32.const 0) (i32.const 0)))) "type mismatch")
(assert_invalid (module (table 1 funcref) (table 1 externref) (func (table.copy 0 1 (i32.const 0) (i32.const 0) (i32.const 0)))) "type mismatch")
(assert_invalid (module (table 1 funcref) (func (table.set 0 (i32.const 0) (ref.null extern)))) "type mismatch")
(assert_invalid (module (func (drop (table.get 0 (i32.const 0))))) "unknown table")
(assert_invalid (module (data (i32.const 0) "a")) "unknown memory")
(assert_invalid (module (memory 1) (data (i64.const 0) "a")) "type mismatch")
(assert_invalid (module (elem (i32.const 0) func)) "unknown table")
(assert_invalid (module (table 1 externref) (elem (i32.const 0) funcref (ref.null func))) "type mismatch")
(assert_invalid (module (func $f) (func (drop (ref.func $f)))) "undeclared function reference")
(module (func $f) (elem declare func $f) (func (drop (ref.func $f))))
(assert_invalid (module (func (drop (ref.is_null (i32.const 0))))) "type mismatch")

;; modules
(assert_invalid (module (func (export "a")) (memory (export "a") 1)) "duplicate export name")
(assert_invalid (module (export "a" (func 0))) "unknown function")
(assert_invalid (module (func (type 0))) "unknown type")
(assert_invalid (module (import "m" "n" (func (type 3)))) "unknown type")

;; text
(assert_malformed (module quote "(func (i32.const 4294967296) drop)") "constant out of range")
(assert_malformed (module quote "(func (f32.const 1e40) drop)") "constant out of range")
(assert_malformed (module quote "(func (i32.nonsense))") "unknown operator")
(assert_malformed (module quote "(func (local.get $nobody))") "unknown local")
(assert_malformed (module quote "(func $a) (func $a)") "duplicate func")
(assert_malformed (module quote "(func (i32.load align=3 (i32.const 0)) drop)") "alignment")
(assert_malformed (module quote "(func") "unexpected end")
(assert_malformed (module quote "(memory 1) (import \"m\" \"n\" (func))") "import after memory")

;; binaries
(module binary "\00asm\01\00\00\00")
(assert_malformed (module binary "") "unexpected end")
(assert_malformed (module binary "\00asn\01\00\00\00") "magic header not detected")
(assert_malformed (module binary "\00asm\02\00\00\00") "unknown binary version")
(assert_malformed (module binary "\00asm\01\00\00\00\0e\00") "malformed section id")
(assert_malformed (module binary "\00asm\01\00\00\00\01") "unexpected end")
(assert_malformed (module binary "\00asm\01\00\00\00\01\05\01\60\00") "length out of bounds")
(module binary "\00asm\01\00\00\00\01\04\01\60\00\00")
(assert_malformed (module binary "\00asm\01\00\00\00\01\05\01\60\00\00\00") "section size mismatch")
(assert_malformed (module binary "\00asm\01\00\00\00\01\04\01\60\00\00\01\04\01\60\00\00") "unexpected content after last section")
(assert_malformed (module binary "\00asm\01\00\00\00\03\02\01\00\01\04\01\60\00\00") "unexpected content after last section")
(assert_malformed (module binary "\00asm\01\00\00\00\01\04\01\60\00\00\03\02\01\00") "function and code section have inconsistent lengths")
(assert_malformed (module binary "\00asm\01\00\00\00\05\03\01\08\00") "malformed limits flags")
(assert_malformed
  (module binary "\00asm\01\00\00\00\01\04\01\60\00\00\03\07\01\80\80\80\80\80\00\0a\04\01\02\00\0b")
  "integer representation too long")
(assert_malformed
  (module binary "\00asm\01\00\00\00\01\04\01\60\00\00\03\06\01\80\80\80\80\10\0a\04\01\02\00\0b") "integer too large")
(module binary "\00asm\01\00\00\00\01\04\01\60\00\00\03\06\01\80\80\80\80\00\0a\04\01\02\00\0b")
(assert_malformed (module binary "\00asm\01\00\00\00\00\02\01\80") "malformed UTF-8 encoding")
(module binary "\00asm\01\00\00\00\00\04\02abc")
(module binary
  "\00asm\01\00\00\00"
  "\01\04\01\60\00\00"         ;; a type
  "\03\02\01\00"               ;; a function
  "\0a\05\01\03\00\01\0b")     ;; nop, end
(assert_malformed
  (module binary "\00asm\01\00\00\00\01\04\01\60\00\00\03\02\01\00\0a\05\01\03\00\27\0b") "illegal opcode")
(assert_malformed
  (module binary "\00asm\01\00\00\00\01\04\01\60\00\00\03\02\01\00\0a\04\01\02\00\01") "END opcode expected")
(assert_malformed
  (module binary
    "\00asm\01\00\00\00\01\04\01\60\00\00\03\02\01\00\0a\0c\01\0a\02\ff\ff\ff\ff\0f\7f\02\7e\0b") "too many locals")
(assert_malformed
  (module binary
    "\00asm\01\00\00\00\01\04\01\60\00\00\03\02\01\00\05\03\01\00\01"
    "\0a\0b\01\09\00\41\00\28\02\00\1a\0b\0b") "section size mismatch")
(assert_malformed
  (module binary
    "\00asm\01\00\00\00\01\04\01\60\00\00\03\02\01\00\05\03\01\00\01"
    "\0a\07\01\05\00\fc\09\00\0b" "\0b\03\01\01\00") "data count section required")
