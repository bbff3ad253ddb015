//! What a loop carries round stays in registers: a count of the memory accesses that compiled code makes.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use patchjit_worked_host::bytecode::Checked;
use patchjit_worked_host::host::{Host, Options};
use patchjit_worked_host::programs::SAMPLES;
use patchjit_worked_host::{source, step};

/// Loops without arrays: all that they do to memory is entering and leaving.
const WITHOUT_ARRAYS: [&str; 4] = ["sum_squares", "collatz", "fibonacci", "mandelbrot"];

fn host(name: &str, count: bool) -> Host {
    let sample = SAMPLES.iter().find(|sample| sample.name == name).unwrap();
    let program = source::compile(sample.text, &[("size", sample.small)]).unwrap();
    let options = Options {
        count,
        ..Options::default()
    };
    let mut host = Host::new(Checked::new(program).unwrap(), options);
    for _ in 0..100 {
        host.run().unwrap();
    }
    host
}

#[test]
fn no_memory_is_touched_in_loops_without_arrays() {
    for name in WITHOUT_ARRAYS {
        let mut counted = host(name, true);
        counted.forget_counts();
        counted.run().unwrap();
        let rounds = counted.traces().filter_map(|(_, t)| t.counted.as_ref());
        let rounds: u64 = rounds.map(|counted| counted.rounds()).sum();
        let mut stepped = host(name, false);
        let entries = stepped.statistics().entries;
        stepped.set_stepped(true);
        step::take();
        stepped.run().unwrap();
        let executed = step::take();
        let entries = stepped.statistics().entries - entries;
        assert!(rounds > 300, "{name}: {rounds} rounds");
        assert!(executed.instructions > rounds, "{name}: {executed:?}");
        // An entry saves registers and reads slots, and an exit writes them.
        let most = 128 * entries;
        assert!(
            executed.accesses <= most && most < rounds,
            "{name}: {executed:?}, {rounds} rounds, {entries} entries"
        );
    }
}
