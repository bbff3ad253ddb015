//! Programs run alike with compiled code off, on, and with every guard forced to fail in turn.

use patchjit::optimize::Passes;
use patchjit::tier::hotness::Schedule;
use patchjit_worked_host::bytecode::Checked;
use patchjit_worked_host::host::{Host, Options};
use patchjit_worked_host::machine::Fault;
use patchjit_worked_host::programs::SAMPLES;
use patchjit_worked_host::source;
use patchjit_worked_host::value::Value;

/// Soon, so that small programs are compiled.
const EAGER: Options = Options {
    compile: true,
    loops: Schedule {
        first: 3,
        attempts: 5,
    },
    exits: Schedule {
        first: 2,
        attempts: 4,
    },
    passes: Passes::ALL,
    count: false,
    forced: None,
};

fn program(text: &str, size: i32) -> Checked {
    Checked::new(source::compile(text, &[("size", size)]).unwrap()).unwrap()
}

/// How a run ends, and the elements of all arrays.
fn outcome(host: &mut Host) -> (Result<Value, Fault>, Vec<u64>) {
    let result = host.run();
    (result, host.machine.heap.used().to_vec())
}

fn off(text: &str, size: i32) -> (Result<Value, Fault>, Vec<u64>) {
    let options = Options {
        compile: false,
        ..EAGER
    };
    outcome(&mut Host::new(program(text, size), options))
}

/// Runs a program in all ways, twice each, and gives the number of guards.
fn check(name: &str, text: &str, size: i32) -> u32 {
    let plain = off(text, size);
    let mut host = Host::new(program(text, size), EAGER);
    assert_eq!(outcome(&mut host), plain, "{name}");
    assert_eq!(outcome(&mut host), plain, "{name}, once more");
    // Results are alike without code, too: what the core refuses must not pass for what is not worth it.
    assert_eq!(host.statistics().failed, 0, "{name}");
    let as_recorded = Options {
        passes: Passes::NONE,
        ..EAGER
    };
    let mut plainly = Host::new(program(text, size), as_recorded);
    assert_eq!(outcome(&mut plainly), plain, "{name}, not optimized");
    let counting = Options {
        count: true,
        ..EAGER
    };
    let mut counted = Host::new(program(text, size), counting);
    assert_eq!(outcome(&mut counted), plain, "{name}, walked");
    if !host.has_code() {
        return 0;
    }
    let counts = host
        .traces()
        .map(|(_, t)| t.log.with(|t| t.leaving_count()));
    let guards = counts.max().unwrap_or(0);
    for op in 0..guards {
        let every = 1 + u64::from(op % 4);
        let options = Options {
            forced: Some((op, every)),
            ..EAGER
        };
        let mut host = Host::new(program(text, size), options);
        assert_eq!(outcome(&mut host), plain, "{name}, {op} every {every}");
        assert_eq!(outcome(&mut host), plain, "{name}, {op} every {every}");
    }
    guards
}

#[test]
fn the_ten_loops() {
    let mut guards = 0;
    for sample in SAMPLES {
        guards += check(sample.name, sample.text, sample.small);
    }
    assert!(guards > 200, "{guards} guards");
}

/// Loops of which each has code of its own: it goes from one to the other without the host.
#[test]
fn loops_lead_on_in_each_others_code() {
    for name in ["sieve", "insertion_sort", "matrix_product"] {
        let sample = SAMPLES.iter().find(|sample| sample.name == name).unwrap();
        let plain = off(sample.text, sample.small);
        let mut host = Host::new(program(sample.text, sample.small), EAGER);
        if !host.has_code() {
            return;
        }
        for _ in 0..20 {
            assert_eq!(outcome(&mut host), plain, "{name}");
        }
        assert!(host.statistics().links > 0 && host.linked() > 0, "{name}");
        let before = host.statistics().entries;
        assert_eq!(outcome(&mut host), plain, "{name}");
        let entries = host.statistics().entries - before;
        assert!(entries <= 20, "{name}: {entries} entries");
        // Unlinked, exits leave again, and are linked again.
        host.set_stepped(true);
        assert_eq!(host.linked(), 0);
        host.set_stepped(false);
        for _ in 0..3 {
            assert_eq!(outcome(&mut host), plain, "{name}, unlinked");
        }
        assert!(host.linked() > 0, "{name}");
    }
}

#[test]
fn types_that_change_and_results_that_do_not_fit() {
    check(
        "overflow",
        "fn main() {
            let s = 1 let i = 0
            while i < 60 { s = s * 3 + 1 i = i + 1 }
            return s - 0.5
        }",
        0,
    );
    check(
        "types",
        "fn main() {
            let a = array(40, 1)
            let i = 0
            while i < 40 { if i % 3 == 0 { a[i] = 2.5 } if i % 7 == 5 { a[i] = 2147483647 } i = i + 1 }
            let s = 0
            i = 0
            while i < 40 { s = a[i] + s i = i + 1 }
            return s
        }",
        0,
    );
    // A loop that is entered with an integer again and again, and goes on with floats.
    check(
        "entries",
        "fn main() {
            let total = 0 let round = 0
            while round < 80 { total = total + series(round) round = round + 1 }
            return total
        }
        fn series(n) {
            let s = 0 let i = 1
            if n % 5 == 0 { return n }
            while i < 12 { s = s + 1.0 / i i = i + 1 }
            return s
        }",
        0,
    );
    // Two that change places, and a nest of loops.
    check(
        "nest",
        "fn main() {
            let a = 0.5 let b = 3 let k = 0
            while k < 6 {
                let j = 0
                while j < 7 {
                    let i = 0
                    while i < 9 { let c = a a = b b = c i = i + 1 if a == b { k = k + 1 } }
                    j = j + 1
                    a = a + 0.25
                }
                k = k + 1
            }
            return a * 1000 + b
        }",
        0,
    );
    check(
        "calls",
        "fn main() {
            let s = 0 let i = 0
            while i < 50 { s = s + pick(i, s) i = i + 1 }
            return s
        }
        fn pick(i, s) { if i % 2 == 0 { return twice(i) } return half(s) - i }
        fn twice(x) { return x + x }
        fn half(x) { let y = x / 2 return y }",
        0,
    );
    check(
        "recursion",
        "fn main() { return fib(12) }
        fn fib(n) { if n < 2 { return n } let i = 0 while i < 3 { i = i + 1 } return fib(n - 1) + fib(n - 2) }",
        0,
    );
}

#[test]
fn faults_are_alike() {
    for text in [
        "fn main() { let a = array(10, 1) let i = 0 while i < 11 { a[i] = i i = i + 1 } return 0 }",
        "fn main() { let i = 20 while true { i = i - 1 let x = 5 // i } }",
        "fn main() { let i = 0 let x = 0 while true { i = i + 1 if i == 30 { x = true } i = i + x } }",
        "fn main() { let i = 0 while true { f(i) i = i + 1 } } fn f(i) { if i == 40 { return f(i) } return 0 }",
    ] {
        check("fault", text, 0);
        assert!(off(text, 0).0.is_err());
    }
}
