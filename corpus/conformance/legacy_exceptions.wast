;; Exception handling of the first version, which no engine that we compare with executes: by the legacy proposal.

(module
  (tag $e (param i32))
  (tag $f (param i32 i64))
  (tag $empty)
  (func $throw (param i32)
    (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $e (i32.const 11))))
    (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $f (i32.const 22) (i64.const 23))))
    (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $empty))))

  (func (export "clauses") (param i32) (result i32) (local i32)
    i32.const 1000
    i32.const 5
    try (param i32) (result i32)
      local.set 1
      local.get 0
      call $throw
      local.get 1
    catch $e
      local.get 1
      i32.add
    catch $f
      drop
    catch_all
      i32.const 77
    end
    i32.add)

  (func (export "body only") (param i32) (result i32)
    try (result i32)
      local.get 0
      call $throw
      i32.const 1
    end)

  (func (export "rethrow") (param i32) (result i32)
    try (result i32)
      try (result i32)
        local.get 0
        call $throw
        i32.const 1
      catch $e
        try
          (throw $f (i32.const 1) (i64.const 1))
        catch $f
          drop
          drop
          rethrow 1
        end
      catch_all
        rethrow 0
      end
    catch $e
      i32.const 1
      i32.add
    catch $f
      drop
    end)

  (func (export "clauses do not guard each other") (param i32)
    try
      local.get 0
      call $throw
    catch $e
      i64.const 0
      throw $f
    catch $f
      drop
      drop
    end)

  (func (export "delegate") (param i32) (result i32)
    block $out (result i32)
      try $outer (result i32)
        try (result i32)
          try (result i32)
            local.get 0
            call $throw
            i32.const 1
          delegate $outer
        catch_all
          i32.const 100
        end
      catch $e
        i32.const 2
        i32.add
      end
    end)

  (func (export "delegate past a clause") (param i32) (result i32)
    try $a (result i32)
      try $b (result i32)
        throw $empty
      catch_all
        try (result i32)
          local.get 0
          call $throw
          i32.const 1
        delegate $b
      end
    catch $e
    end)

  (func (export "delegate to the caller") (param i32) (result i32)
    try (result i32)
      try (result i32)
        local.get 0
        call $throw
        i32.const 1
      delegate 1
    catch_all
      i32.const 100
    end)

  (func (export "trap")
    try
      unreachable
    catch_all
    end)

  (func (export "branch") (param i32) (result i32)
    try $t (result i32)
      i32.const 3
      local.get 0
      br_if $t
      call $throw
      i32.const 1
      local.get 0
      call $throw
    catch $e
      local.get 0
      br_if $t
    catch_all
      i32.const 9
      br $t
    end)

  (func (export "loop") (param i32) (result i32) (local $n i32)
    loop $l (result i32)
      try (result i32)
        local.get $n
        i32.const 1
        i32.add
        local.tee $n
        local.get 0
        i32.lt_u
        if
          throw $empty
        end
        local.get $n
      catch_all
        br $l
      end
    end)

  (func (export "mixed") (param i32) (result i32)
    block $h (result i32)
      try_table (result i32) (catch $e $h)
        try (result i32)
          local.get 0
          call $throw
          i32.const 1
        catch $f
          drop
          throw $e
        end
      end
    end))

(assert_return (invoke "clauses" (i32.const 0)) (i32.const 1005))
(assert_return (invoke "clauses" (i32.const 1)) (i32.const 1016))
(assert_return (invoke "clauses" (i32.const 2)) (i32.const 1022))
(assert_return (invoke "clauses" (i32.const 3)) (i32.const 1077))
(assert_return (invoke "body only" (i32.const 0)) (i32.const 1))
(assert_exception (invoke "body only" (i32.const 1)))
(assert_return (invoke "rethrow" (i32.const 0)) (i32.const 1))
(assert_return (invoke "rethrow" (i32.const 1)) (i32.const 12))
(assert_return (invoke "rethrow" (i32.const 2)) (i32.const 22))
(assert_exception (invoke "rethrow" (i32.const 3)))
(assert_return (invoke "clauses do not guard each other" (i32.const 2)))
(assert_exception (invoke "clauses do not guard each other" (i32.const 1)))
(assert_return (invoke "delegate" (i32.const 0)) (i32.const 1))
(assert_return (invoke "delegate" (i32.const 1)) (i32.const 13))
(assert_exception (invoke "delegate" (i32.const 2)))
(assert_return (invoke "delegate past a clause" (i32.const 0)) (i32.const 1))
(assert_return (invoke "delegate past a clause" (i32.const 1)) (i32.const 11))
(assert_exception (invoke "delegate past a clause" (i32.const 3)))
(assert_return (invoke "delegate to the caller" (i32.const 0)) (i32.const 1))
(assert_exception (invoke "delegate to the caller" (i32.const 3)))
(assert_trap (invoke "trap") "unreachable")
(assert_return (invoke "branch" (i32.const 1)) (i32.const 3))
(assert_return (invoke "loop" (i32.const 4)) (i32.const 4))
(assert_return (invoke "mixed" (i32.const 0)) (i32.const 1))
(assert_return (invoke "mixed" (i32.const 1)) (i32.const 11))
(assert_return (invoke "mixed" (i32.const 2)) (i32.const 22))
(assert_exception (invoke "mixed" (i32.const 3)))

(assert_invalid (module (func try (result i32) end drop)) "type mismatch")
(assert_invalid (module (tag (param i64)) (func (result i32) try (result i32) i32.const 1 catch 0 end)) "type mismatch")
(assert_invalid (module (func try catch 0 end)) "unknown tag")
(assert_invalid (module (func try delegate 1)) "unknown label")
(assert_invalid (module (func rethrow 0)) "invalid rethrow label")
(assert_invalid (module (func try rethrow 0 catch_all end)) "invalid rethrow label")
(assert_invalid (module (func block rethrow 2 end)) "unknown label")
