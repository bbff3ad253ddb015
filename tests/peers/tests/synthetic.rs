//! Generated programs: what the verifier takes, Cranelift's own verifier takes too, every setting compiles, and
//! runs end as they do on the oracle.

use cranelift_codegen::Context as CompilerContext;
use patchjit::interp;
use patchjit::ir::Program;
use patchjit::runtime::{Binding, Context, Status};
use patchjit::verify;
use patchjit_cli::value;
use patchjit_peers::machine::{Compiled, Processor, Settings, compiler, translate};
use patchjit_peers::ours::Jit;
use patchjit_peers::pages::Pages;
use patchjit_peers::subject::Engine;
use patchjit_tests::random::Random;
use patchjit_tests::synthetic::{GENERATORS, REGION_SIZE, many_functions, one_function};

fn compile(program: &Program, settings: Settings) -> Compiled {
    let isa = compiler(settings, Processor::Native).unwrap();
    let pages = Pages::new(1 << 20).unwrap();
    let translated = translate(program, &isa, &pages).unwrap();
    translated.verify().unwrap();
    let mut context = CompilerContext::new();
    translated.compile(program, &mut context).unwrap()
}

#[test]
fn generated_programs_compile() {
    for generator in GENERATORS {
        let assembly = (generator.make)(3000);
        let program = assembly.program();
        let size = assembly.size();
        assert!((2700..3400).contains(&size), "{}: {size}", generator.name);
        let mut workspace = vec![0; verify::workspace_words(&program)];
        verify::verify(program, &mut workspace)
            .unwrap_or_else(|error| panic!("{}: {error:?}", generator.name));
        for settings in Settings::ALL {
            let compiled = compile(&program, settings);
            assert!(compiled.code_bytes > 0, "{}", generator.name);
        }
    }
}

/// What a run left behind.
#[derive(Debug)]
struct End {
    status: Status,
    exit_number: u32,
    values: [u64; 3],
    slots: Vec<u64>,
    region: Vec<u64>,
}

/// The fuel that a run on the oracle gets: one that takes more is not repeated in machine code.
const FUEL: i64 = 20_000;

fn run(
    program: &Program,
    values: [u64; 3],
    go: impl FnOnce(&mut Context, &mut [u64]) -> Status,
) -> End {
    let mut end = End {
        status: Status::Returned,
        exit_number: 0,
        values,
        slots: vec![3; program.slot_count as usize],
        region: (0..REGION_SIZE / 8).collect(),
    };
    let mut context = Context::new();
    context.slots = end.slots.as_mut_ptr();
    context.depth = 50;
    context.fuel = FUEL;
    context.regions[0] = Binding {
        base: end.region.as_mut_ptr().cast(),
        size: REGION_SIZE,
    };
    end.status = go(&mut context, &mut end.values);
    if matches!(end.status, Status::Deoptimized | Status::Trapped) {
        end.exit_number = context.exit_number;
    }
    assert_eq!(context.depth, 50);
    end
}

fn assert_same(a: &End, b: &End, what: &str) {
    assert_eq!(
        (a.status, a.exit_number),
        (b.status, b.exit_number),
        "{what}"
    );
    if a.status == Status::Returned {
        assert_eq!(a.values[0], b.values[0], "{what}");
    }
    for (at, (&a, &b)) in a.slots.iter().zip(&b.slots).enumerate() {
        assert!(value::same_word(a, b), "{what}: slot {at}: {a:#x} {b:#x}");
    }
    for (at, (&a, &b)) in a.region.iter().zip(&b.region).enumerate() {
        assert!(value::same_word(a, b), "{what}: word {at}: {a:#x} {b:#x}");
    }
}

#[test]
fn generated_programs_run_as_on_the_oracle() {
    let (mut ran, mut returned, mut compiled_by_us) = (0, 0, 0);
    for seed in 0..60 {
        let assembly = if seed % 2 == 0 {
            many_functions(900, seed)
        } else {
            one_function(500, seed)
        };
        let program = assembly.program();
        let mut workspace = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut workspace).unwrap();
        let mut words = vec![0; interp::workspace_words(&verified)];
        let decoded = interp::decode(&verified, &mut words).unwrap();
        let mut stack = vec![0; decoded.stack_words(51)];
        let compiled = Settings::ALL.map(|settings| compile(&program, settings));
        let ours = Jit::new().and_then(|mut jit| Some(jit.engine(&program).ok()?.0));
        compiled_by_us += usize::from(ours.is_some());
        let mut random = Random::new(seed);
        for function in 0..program.functions.len() as u32 {
            for _ in 0..6 {
                let small = |random: &mut Random| (random.below(200) as u64).wrapping_sub(100);
                let float = (random.below(2000) as f64 / 8.0 - 100.0).to_bits();
                let values = [small(&mut random), small(&mut random), float];
                let options = interp::Options { charge_fuel: true };
                let expected = run(&program, values, |context, values| {
                    // SAFETY: slots, the region and the depth are as the program asks.
                    let outcome =
                        unsafe { decoded.run(function, context, values, &mut stack, options) };
                    outcome.unwrap().status
                });
                if expected.status == Status::OutOfFuel {
                    continue;
                }
                ran += 1;
                if let Some(ours) = &ours {
                    let end = run(&program, values, |context, values| {
                        // SAFETY: as above.
                        unsafe { ours.run(function, context, values) }
                    });
                    let what = format!("seed {seed}, @f{function}, {values:x?}, ours");
                    assert_same(&end, &expected, &what);
                }
                returned += usize::from(expected.status == Status::Returned);
                for (compiled, settings) in compiled.iter().zip(Settings::ALL) {
                    let end = run(&program, values, |context, values| {
                        // SAFETY: as above.
                        unsafe { compiled.run(function as usize, context, values) }
                    });
                    let what = format!("seed {seed}, @f{function}, {values:x?}, {settings:?}");
                    assert_same(&end, &expected, &what);
                }
            }
        }
    }
    println!("{compiled_by_us} programs of 60 compiled by us");
    let wanted = if patchjit_stencils::host().is_some() {
        60
    } else {
        0
    };
    assert_eq!(compiled_by_us, wanted);
    assert!(ran > 500 && returned > 50, "{ran} {returned}");
}
