;; The greatest common divisor, and how many steps it took.
(module
  (func (export "gcd") (param $a i32) (param $b i32) (result i32 i32)
    (local $steps i32)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $b)))
        (local.get $b)
        (local.set $b (i32.rem_u (local.get $a) (local.get $b)))
        (local.set $a)
        (local.set $steps (i32.add (local.get $steps) (i32.const 1)))
        (br $next)))
    (local.get $a)
    (local.get $steps)))
