//! Every promise of every program, kept by Cranelift with every setting.

use patchjit::verify;
use patchjit_peers::machine::{Cranelift, Processor, Settings, compiler, translate};
use patchjit_peers::pages::Pages;
use patchjit_peers::subject::{self, Maker};
use patchjit_tests::programs;

fn hold(settings: Settings) {
    let isa = compiler(settings, Processor::Native).unwrap();
    let mut cranelift = Cranelift::new(settings, Processor::Native).unwrap();
    let (mut kept, mut broken) = (0, Vec::new());
    for name in programs::names() {
        let module = programs::module(&name);
        let program = module.program();
        let mut workspace = vec![0; verify::workspace_words(&program)];
        let verified = verify::verify(program, &mut workspace).unwrap();
        let pages = Pages::new(1 << 20).unwrap();
        let translated = translate(&program, &isa, &pages).unwrap();
        translated
            .verify()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let made = cranelift.make(&verified).unwrap();
        for promise in &module.promises {
            if !subject::applies(&*made.engine, promise) {
                continue;
            }
            let (function, arguments) = (promise.function, &promise.arguments);
            // SAFETY: the engine was made for this module's program.
            let ended = unsafe { subject::run(&module, &*made.engine, function, arguments) };
            match ended.and_then(|ended| subject::keeps(&module, promise, &ended)) {
                Ok(()) => kept += 1,
                Err(error) => broken.push(format!("{name}: {error}")),
            }
        }
    }
    assert!(broken.is_empty(), "{settings:?}: {}", broken.join("\n"));
    assert!(kept > 100, "{kept}");
}

#[test]
fn promises_are_kept() {
    subject::on_long_stack(|| Settings::ALL.into_iter().for_each(hold));
}
