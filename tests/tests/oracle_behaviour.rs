//! What the oracle does at exits, calls, limits and with too little storage.

use patchjit::error::{Error, Rule, Storage};
use patchjit::interp::{self, Decoded, Options, Outcome};
use patchjit::runtime::{Context, HostCode, Status};
use patchjit::verify;
use patchjit_tests::machine::Machine;
use patchjit_tests::oracle;
use patchjit_tests::reference::Run;
use patchjit_tests::synthetic;
use patchjit_text::{Module, parse};
use std::ffi::c_void;

fn module(source: &str) -> Module {
    parse(source).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a function by its name with fuel and depth; gives the guest slots, too.
fn run(source: &str, name: &str, arguments: &[u64], fuel: i64, depth: i64) -> (Run, Vec<u64>) {
    let module = module(source);
    let mut machine = Machine::new(&module);
    (machine.fuel, machine.depth) = (fuel, depth);
    let function = module.function(name).unwrap();
    let ran = oracle::run(&module.program(), &mut machine, function, arguments, true).unwrap();
    (ran, machine.slots)
}

fn results(source: &str, arguments: &[u64]) -> Vec<u64> {
    let (ran, _) = run(source, "f", arguments, 1_000_000, 100);
    assert_eq!(ran.status, Status::Returned, "{ran:?}");
    ran.results
}

const NESTED: &str = "
    slots 8
    func @inner(x: i64) -> i64 {
    entry:
        zero = i64.const 0
        bad = i64.eq x, zero
        guard_not bad else exit 11 [0: x, 3: x]
        two = i64.const 2
        worse = i64.eq x, two
        guard_not worse else trap 12 [0: x]
        return x
    }
    func @middle(x: i64) -> i64 {
    entry:
        y = i64.const 70
        r = call @inner(x) else exit 22 [1: y, 3: y]
        s = i64.add r, y
        return s
    }
    func @outer(x: i64) -> i64 {
    entry:
        z = i64.const 500
        zz = i64.add z, x
        r = call @middle(x) else exit 33 [2: zz, 3: zz]
        s = i64.add r, zz
        return s
    }
    func @trapping(x: i64) -> i64 {
    entry:
        z = i64.const 9
        r = call @middle(x) else trap 44 [4: z]
        return r
    }
    func @above(x: i64) -> i64 {
    entry:
        z = i64.const 9
        r = call @trapping(x) else exit 55 [5: z]
        return r
    }";

#[test]
fn a_deoptimization_goes_through_its_callers() {
    let (ran, slots) = run(NESTED, "outer", &[0], 100, 100);
    // The innermost number; every snapshot, the callers' written behind the callees'.
    assert_eq!((ran.status, ran.exit_number), (Status::Deoptimized, 11));
    assert_eq!(slots, [0, 70, 500, 500, 0, 0, 0, 0]);
    let (ran, _) = run(NESTED, "outer", &[1], 100, 100);
    assert_eq!(ran.results, [1 + 70 + 501]);
}

#[test]
fn a_trap_abandons_all_frames() {
    let (ran, slots) = run(NESTED, "outer", &[2], 100, 100);
    assert_eq!((ran.status, ran.exit_number), (Status::Trapped, 12));
    assert_eq!(slots, [2, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_callers_trap_ends_a_deoptimization() {
    let (ran, slots) = run(NESTED, "above", &[0], 100, 100);
    // Through the middle to the trap, with the innermost number; the frame above it writes nothing.
    assert_eq!((ran.status, ran.exit_number), (Status::Trapped, 11));
    assert_eq!(slots, [0, 70, 0, 70, 9, 0, 0, 0]);
}

const DEEP: &str = "
    func @f(n: i64) -> i64 {
    entry:
        zero = i64.const 0
        one = i64.const 1
        more = i64.gt_s n, zero
        branch more, deeper, done
    deeper:
        less = i64.sub n, one
        r = call @f(less)
        s = i64.add r, one
        return s
    done:
        return zero
    }";

#[test]
fn depth_is_counted_exactly() {
    for n in 0..6u64 {
        for depth in 0..8i64 {
            let (ran, _) = run(DEEP, "f", &[n], 100, depth);
            if depth > n as i64 {
                assert_eq!((ran.status, ran.results), (Status::Returned, vec![n]));
                assert_eq!(ran.fuel, 100 - (n as i64 + 1));
            } else {
                assert_eq!(ran.status, Status::TooDeep);
                // Depth comes before fuel: the call that is too deep costs none.
                assert_eq!(ran.fuel, 100 - depth);
            }
        }
    }
}

#[test]
fn fuel_is_counted_exactly() {
    // One for the entry, one for each of n back-edges.
    for (name, source) in [("rotated", ROTATED), ("tested at its head", TESTED)] {
        for n in 1..6u64 {
            let needed = n as i64 + i64::from(name != "rotated");
            for fuel in 0..8 {
                let (ran, _) = run(source, "f", &[n], fuel, 100);
                if fuel >= needed {
                    assert_eq!(ran.status, Status::Returned, "{name} {n} {fuel}");
                    assert_eq!(ran.fuel, fuel - needed, "{name} {n} {fuel}");
                } else {
                    assert_eq!(ran.status, Status::OutOfFuel, "{name} {n} {fuel}");
                    assert_eq!(ran.fuel, -1, "{name} {n} {fuel}");
                }
            }
        }
    }
}

const ROTATED: &str = "
    func @f(n: i64) -> i64 {
    entry:
        zero = i64.const 0
        one = i64.const 1
        jump head(zero)
    head(i: i64):
        next = i64.add i, one
        more = i64.lt_s next, n
        branch more, head(next), done
    done:
        return next
    }";

const TESTED: &str = "
    func @f(n: i64) -> i64 {
    entry:
        zero = i64.const 0
        one = i64.const 1
        jump head(zero)
    head(i: i64):
        more = i64.lt_s i, n
        branch more, body, done
    body:
        next = i64.add i, one
        jump head(next)
    done:
        return i
    }";

#[test]
fn fuel_is_left_alone_unless_asked_for() {
    let module = module(TESTED);
    let mut machine = Machine::new(&module);
    machine.fuel = 3;
    let ran = oracle::run(&module.program(), &mut machine, 0, &[50], false).unwrap();
    assert_eq!((ran.status, ran.fuel), (Status::Returned, 3));
}

#[test]
fn tail_calls_take_neither_stack_nor_depth() {
    let source = "
        func @even(n: i64) -> i64 {
        entry:
            one = i64.const 1
            zero = i64.const 0
            end = i64.eq n, zero
            branch end, done, more
        more:
            less = i64.sub n, one
            return_call @odd(less, n, zero, one)
        done:
            return one
        }
        func @odd(n: i64, a: i64, b: i64, c: i64) -> i64 {
        entry:
            one = i64.const 1
            zero = i64.const 0
            end = i64.eq n, zero
            branch end, done, more
        more:
            less = i64.sub n, one
            d = i64.add a, b
            e = i64.add d, c
            g = i64.sub e, d
            h = i64.sub less, g
            i = i64.add h, g
            return_call @even(i)
        done:
            return zero
        }
        func @swap(n: i64, a: i64, b: i64) -> i64, i64 {
        entry:
            one = i64.const 1
            zero = i64.const 0
            end = i64.eq n, zero
            branch end, done, more
        more:
            less = i64.sub n, one
            return_call @swap(less, b, a)
        done:
            return a, b
        }";
    let module = module(source);
    let program = module.program();
    oracle::decoded(&program, |decoded| {
        let mut stack = vec![0; decoded.stack_words(1)];
        let mut machine = Machine::new(&module);
        machine.depth = 1;
        machine.fuel = 1_000_000;
        let ran = oracle::run_on(decoded, &mut machine, 0, &[100_001], true, &mut stack).unwrap();
        assert_eq!((ran.status, &ran.results[..]), (Status::Returned, &[0][..]));
        assert_eq!(ran.fuel, 1_000_000 - 100_002);
        let ran = oracle::run_on(decoded, &mut machine, 2, &[7, 1, 2], true, &mut stack).unwrap();
        assert_eq!(ran.results, [2, 1]);
    })
    .unwrap();
}

#[test]
fn indirect_calls_look_at_index_and_signature() {
    let source = "
        slots 1
        func @one(x: i64) -> i64 {
        entry:
            one = i64.const 1
            r = i64.add x, one
            return r
        }
        func @other(x: f64) -> i64 {
        entry:
            one = i64.const 1
            return one
        }
        func @f(index: i64, x: i64) -> i64 {
        entry:
            r = call_indirect (i64) -> (i64), index(x) else trap 4 [0: index]
            return r
        }
        func @by_name(x: i64) -> i64 {
        entry:
            index = function.index @one
            r = call_indirect (i64) -> (i64), index(x) else trap 4 [0: index]
            return r
        }";
    assert_eq!(run(source, "f", &[0, 5], 9, 9).0.results, [6]);
    assert_eq!(run(source, "by_name", &[5], 9, 9).0.results, [6]);
    for index in [1, 2, 4, 5, 1 << 32, 1 << 62, u64::MAX] {
        let (ran, slots) = run(source, "f", &[index, 5], 9, 9);
        assert_eq!((ran.status, ran.exit_number), (Status::Trapped, 4));
        assert_eq!(slots, [index]);
        assert_eq!(ran.fuel, 8, "a call that leaves is not entered");
    }
}

#[test]
fn host_calls_and_their_status() {
    let source = "
        slots 1
        host @mix(i64, i64) -> i64
        host @fail_if(i64)
        func @f(a: i64, b: i64) -> i64 {
        entry:
            r = call_host @mix(a, b)
            return r
        }
        func @bare(x: i64) {
        entry:
            call_host @fail_if(x)
            return
        }
        func @covered(x: i64) {
        entry:
            call_host @fail_if(x) else exit 8 [0: x]
            return
        }";
    assert_eq!(run(source, "f", &[3, 4], 9, 9).0.results, [3 * 31 + 4]);
    let (ran, _) = run(source, "bare", &[0x1_0000_0000], 9, 9);
    assert_eq!(ran.status, Status::Returned);
    let (ran, _) = run(source, "bare", &[1234], 9, 9);
    assert_eq!((ran.status, ran.exit_number), (Status::Trapped, 1234));
    let (ran, slots) = run(source, "covered", &[1234], 9, 9);
    assert_eq!((ran.status, ran.exit_number), (Status::Deoptimized, 8));
    assert_eq!(slots, [1234]);
}

#[test]
fn polls_leave_when_asked_to() {
    let module = module(
        "slots 1
        func @f(x: i64) -> i64 {
        entry:
            poll else exit 6 [0: x]
            return x
        }",
    );
    oracle::decoded(&module.program(), |decoded| {
        for interrupt in [0, 1, 0x8000_0000] {
            let mut machine = Machine::new(&module);
            let mut context = machine.context();
            *context.interrupt.get_mut() = interrupt;
            let mut values = [41];
            let mut stack = [0; 16];
            // SAFETY: the machine binds what the program declares.
            let outcome = unsafe {
                decoded.run(
                    0,
                    &raw mut context,
                    &mut values,
                    &mut stack,
                    Options::default(),
                )
            };
            let status = if interrupt == 0 {
                Status::Returned
            } else {
                Status::Deoptimized
            };
            assert_eq!(outcome.unwrap().status, status);
            assert_eq!(machine.slots[0], if interrupt == 0 { 0 } else { 41 });
        }
    })
    .unwrap();
}

/// What the host function below needs to run the program again.
struct Again<'a> {
    decoded: &'a Decoded<'a>,
    context: *mut Context,
    seen: Vec<(i64, i64)>,
}

unsafe extern "C" fn again(host_context: *mut c_void, values: *mut u64) -> u32 {
    // SAFETY: the test below passes this.
    let this = unsafe { &mut *host_context.cast::<Again<'_>>() };
    // SAFETY: the context outlives the run, which is in this call.
    unsafe {
        this.seen
            .push(((*this.context).depth, (*this.context).fuel))
    };
    // SAFETY: one argument, one result.
    let values = unsafe { std::slice::from_raw_parts_mut(values, 1) };
    let mut stack = [0; 64];
    // SAFETY: bound as for the run that this is in.
    let outcome = unsafe {
        this.decoded.run(
            0,
            this.context,
            values,
            &mut stack,
            Options { charge_fuel: true },
        )
    };
    match outcome {
        Ok(Outcome {
            status: Status::Returned,
            ..
        }) => 0,
        _ => 99,
    }
}

#[test]
fn host_functions_may_run_the_program_again() {
    let module = module(
        "host @again(i64) -> i64
        func @f(n: i64) -> i64 {
        entry:
            zero = i64.const 0
            one = i64.const 1
            more = i64.gt_s n, zero
            branch more, deeper, done
        deeper:
            less = i64.sub n, one
            r = call_host @again(less)
            s = i64.add r, n
            return s
        done:
            return zero
        }",
    );
    oracle::decoded(&module.program(), |decoded| {
        for (n, depth, fuel, expected) in [
            (4, 10, 100, Status::Returned),
            (4, 4, 100, Status::Trapped),
            (4, 10, 4, Status::Trapped),
        ] {
            let mut context = Context::new();
            let hosts: [HostCode; 1] = [again];
            context.hosts = hosts.as_ptr();
            context.depth = depth;
            context.fuel = fuel;
            let shared = &raw mut context;
            let mut state = Again {
                decoded,
                context: shared,
                seen: Vec::new(),
            };
            let mut values = [n];
            let mut stack = [0; 64];
            // SAFETY: the one host function is bound, and uses the context through the same pointer.
            let outcome = unsafe {
                (*shared).host_context = (&raw mut state).cast();
                decoded.run(
                    0,
                    shared,
                    &mut values,
                    &mut stack,
                    Options { charge_fuel: true },
                )
            }
            .unwrap();
            assert_eq!(outcome.status, expected);
            if expected == Status::Returned {
                assert_eq!(values, [4 + 3 + 2 + 1]);
                assert_eq!(state.seen, [(9, 99), (8, 98), (7, 97), (6, 96)]);
            } else {
                assert_eq!(outcome.exit_number, 99, "the host function's status");
            }
            assert_eq!(context.depth, depth);
        }
    })
    .unwrap();
}

#[test]
fn switches() {
    let source = "
        func @f(i: i32) -> i64 {
        entry:
            one = i64.const 1
            two = i64.const 2
            switch i, [a, b(one), b(two), entry_like], d
        a:
            ten = i64.const 10
            return ten
        b(x: i64):
            return x
        entry_like:
            jump b(two)
        d:
            many = i64.const 99
            return many
        }";
    for (index, expected) in [
        (0, 10),
        (1, 1),
        (2, 2),
        (3, 2),
        (4, 99),
        (0x8000_0000, 99),
        (0xffff_ffff, 99),
    ] {
        assert_eq!(results(source, &[index]), [expected], "{index}");
    }
}

#[test]
fn copies_along_edges_happen_at_once() {
    // Rotations, swaps, a chain, duplicates and constants, each undone by counting.
    let source = "
        func @f(n: i64) -> i64, i64, i64, i64, i64 {
        entry:
            zero = i64.const 0
            one = i64.const 1
            a0 = i64.const 100
            b0 = i64.const 200
            c0 = i64.const 300
            d0 = i64.const 400
            e0 = i64.const 500
            jump head(zero, a0, b0, c0, d0, e0)
        head(i: i64, a: i64, b: i64, c: i64, d: i64, e: i64):
            more = i64.lt_s i, n
            branch more, body, done
        body:
            next = i64.add i, one
            jump head(next, EDGE)
        done:
            return a, b, c, d, e
        }";
    let first = [100u64, 200, 300, 400, 500];
    for (edge, permutation) in [
        ("b, a, c, d, e", [1usize, 0, 2, 3, 4]),
        ("b, c, d, e, a", [1, 2, 3, 4, 0]),
        ("e, a, b, c, d", [4, 0, 1, 2, 3]),
        ("b, a, d, e, c", [1, 0, 3, 4, 2]),
        ("a, a, a, a, a", [0, 0, 0, 0, 0]),
        ("b, c, d, e, e", [1, 2, 3, 4, 4]),
        ("a, a, b, c, d", [0, 0, 1, 2, 3]),
        ("b, a, a, b, a", [1, 0, 0, 1, 0]),
    ] {
        let source = source.replace("EDGE", edge);
        let mut expected = first;
        for n in 0..7u64 {
            assert_eq!(results(&source, &[n]), expected, "{edge} {n}");
            expected = permutation.map(|from| expected[from]);
        }
    }
    let source = source.replace("EDGE", "b, one, a, zero, d");
    assert_eq!(results(&source, &[1]), [200, 1, 100, 0, 400]);
    assert_eq!(results(&source, &[2]), [1, 1, 200, 0, 0]);
}

#[test]
fn two_edges_to_one_block_do_not_share_its_parameter() {
    let source = "
        slots 1
        func @f(n: i64) -> i64 {
        entry:
            one = i64.const 1
            ten = i64.const 10
            c = i32.wrap_i64 n
            v = i64.add n, ten
            w = i64.add_checked v, one else trap 1 [0: v]
            branch c, t(v), t(w)
        t(p: i64):
            return p
        }";
    assert_eq!(results(source, &[1]), [11]);
    assert_eq!(results(source, &[0]), [11]);
    assert_eq!(results(source, &[2]), [12]);
}

#[test]
fn results_that_nobody_wants() {
    let source = "
        func @three(x: i64) -> i64, i64, i64 {
        entry:
            one = i64.const 1
            two = i64.const 2
            y = i64.add x, one
            z = i64.add x, two
            return x, y, z
        }
        func @f(x: i64) -> i64, i64, i64 {
        entry:
            a, b, c = call @three(x)
            d, e, g = call @three(c)
            h, i, j = call @three(e)
            return h, b, d
        }";
    assert_eq!(results(source, &[5]), [8, 6, 7]);
}

#[test]
fn more_constants_in_a_loop_than_are_set_at_the_entry() {
    let mut body = String::new();
    let mut sum = "s".to_string();
    for index in 0..100 {
        body += &format!("k{index} = f64.const 0.1{index}\n");
        body += &format!("s{index} = f64.add {sum}, k{index}\n");
        sum = format!("s{index}");
    }
    let source = format!(
        "func @f(n: i64) -> f64 {{
        entry:
            zero = i64.const 0
            one = i64.const 1
            none = f64.const 0.0
            jump head(zero, none)
        head(i: i64, s: f64):
            {body}
            next = i64.add i, one
            more = i64.lt_s next, n
            branch more, head(next, {sum}), done
        done:
            return {sum}
        }}"
    );
    let mut expected = 0.0;
    for _ in 0..3 {
        for index in 0..100 {
            expected += format!("0.1{index}").parse::<f64>().unwrap();
        }
    }
    assert_eq!(results(&source, &[3]), [f64::to_bits(expected)]);
}

#[test]
fn blocks_that_are_never_reached_are_left_out() {
    let source = "
        func @f(n: i64) -> i64 {
        entry:
            one = i64.const 1
            jump done(one)
        lost(p: i64):
            use = i64.add later, p
            later = i64.add use, one
            c = i64.lt_s later, use
            branch c, lost(later), done(use)
        done(x: i64):
            return x
        }";
    assert_eq!(results(source, &[3]), [1]);
}

#[test]
fn every_size_of_workspace_and_stack() {
    for source in [NESTED, DEEP, TESTED, ROTATED] {
        let module = module(source);
        let program = module.program();
        let mut facts = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut facts).unwrap();
        let needed = interp::workspace_words(&verified);
        for size in 0..needed + 3 {
            let mut workspace = vec![0xffff_ffff; size];
            match interp::decode(&verified, &mut workspace) {
                Ok(_) => assert!(size >= needed),
                Err(error) => {
                    let storage = Storage::Workspace;
                    assert_eq!(error, Error::Full { storage, needed });
                    assert!(size < needed);
                }
            }
        }
        let mut workspace = vec![0; needed];
        let decoded = interp::decode(&verified, &mut workspace).unwrap();
        for function in 0..program.functions.len() as u32 {
            let mut machine = Machine::new(&module);
            machine.depth = 6;
            let enough = decoded.stack_words(6);
            let full =
                oracle::run_decoded(&decoded, &mut machine.clone(), function, &[3], false).unwrap();
            let mut size = 0;
            // Each error says how much would have let the run go on; that much does.
            loop {
                let mut stack = vec![0; size];
                let here = &mut machine.clone();
                match oracle::run_on(&decoded, here, function, &[3], false, &mut stack) {
                    Ok(ran) => {
                        assert_eq!(ran, full);
                        break;
                    }
                    Err(Error::Full {
                        storage: Storage::Stack,
                        needed,
                    }) => {
                        assert!(
                            needed > size && needed <= enough,
                            "{size} {needed} {enough}"
                        );
                        size = needed;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            for size in 0..=enough {
                let mut stack = vec![0; size];
                let here = &mut machine.clone();
                match oracle::run_on(&decoded, here, function, &[3], false, &mut stack) {
                    Ok(ran) => assert_eq!(ran, full),
                    Err(error) => {
                        let is_full = matches!(
                            error,
                            Error::Full {
                                storage: Storage::Stack,
                                ..
                            }
                        );
                        assert!(is_full && size < enough, "{error}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_run_is_given_is_measured() {
    let module = module(
        "region @mem 64
        func @f(a: i64, b: i64) -> i64, i64, i64 {
        entry:
            return a, b, a
        }",
    );
    oracle::decoded(&module.program(), |decoded| {
        let mut machine = Machine::new(&module);
        let mut stack = [0; 32];
        let mut context = machine.context();
        let mut go = |context: &mut Context, function: u32, values: &mut [u64]| {
            // SAFETY: the machine binds what the program declares, or less, which is what is tested.
            unsafe { decoded.run(function, context, values, &mut stack, Options::default()) }
        };
        for length in 0..3 {
            let short = go(&mut context, 0, &mut vec![0; length]).unwrap_err();
            let storage = Storage::Values;
            assert_eq!(short, Error::Full { storage, needed: 3 });
        }
        let mut values = [1, 2, 3, 4];
        assert!(go(&mut context, 0, &mut values).is_ok());
        assert_eq!(values, [1, 2, 1, 4]);
        let error = go(&mut context, 1, &mut values).unwrap_err();
        assert!(matches!(
            error,
            Error::Invalid {
                rule: Rule::FunctionRange,
                ..
            }
        ));
        context.regions[0].size = 63;
        let error = go(&mut context, 0, &mut values).unwrap_err();
        let storage = Storage::Binding;
        assert_eq!(
            error,
            Error::Full {
                storage,
                needed: 64
            }
        );
    })
    .unwrap();
}

#[test]
fn registers_are_shared() {
    // A thousand values, of which few live at a time, in a frame that is small.
    let assembly = synthetic::straight_line(1000);
    oracle::decoded(&assembly.program(), |decoded| {
        let words = decoded.stack_words(1);
        assert!(words < 40, "{words} words of stack");
    })
    .unwrap();
}
