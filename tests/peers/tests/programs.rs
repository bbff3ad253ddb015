//! Every promise of every program, kept by Cranelift with every setting.

use cranelift_codegen::Context as CompilerContext;
use patchjit_peers::machine::{Processor, Settings, compiler, translate};
use patchjit_peers::pages::Pages;
use patchjit_peers::subject;
use patchjit_tests::programs;

fn hold(settings: Settings) {
    let pages = Pages::new(16 << 20).unwrap();
    let isa = compiler(settings, Processor::Native).unwrap();
    let mut context = CompilerContext::new();
    let (mut kept, mut broken) = (0, Vec::new());
    for name in programs::names() {
        let module = programs::module(&name);
        let program = module.program();
        let translated = translate(&program, &isa, &pages).unwrap();
        translated
            .verify()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let compiled = translated.compile(&program, &mut context).unwrap();
        {
            // SAFETY: the subject binds its contexts for this program.
            let engine = unsafe { compiled.engine(settings) };
            for promise in &module.promises {
                if !subject::applies(&engine, promise) {
                    continue;
                }
                let ended = subject::run(&module, &engine, promise.function, &promise.arguments);
                match ended.and_then(|ended| subject::keeps(&module, promise, &ended)) {
                    Ok(()) => kept += 1,
                    Err(error) => broken.push(format!("{name}: {error}")),
                }
            }
        }
        compiled.free();
    }
    assert!(broken.is_empty(), "{settings:?}: {}", broken.join("\n"));
    assert!(kept > 100, "{kept}");
}

#[test]
fn promises_are_kept() {
    subject::on_long_stack(|| Settings::ALL.into_iter().for_each(hold));
}
