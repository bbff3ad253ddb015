//! Generated programs are what Cranelift's own verifier takes for valid, and compile with every setting.

use cranelift_codegen::Context as CompilerContext;
use patchjit_peers::machine::{Processor, Settings, compiler, translate};
use patchjit_peers::pages::Pages;
use patchjit_tests::synthetic::GENERATORS;

#[test]
fn generated_programs_compile() {
    let mut context = CompilerContext::new();
    for generator in GENERATORS {
        let assembly = (generator.make)(3000);
        let program = assembly.program();
        let size = assembly.size();
        assert!((2700..3400).contains(&size), "{}: {size}", generator.name);
        for settings in Settings::ALL {
            let isa = compiler(settings, Processor::Native).unwrap();
            let pages = Pages::new(1 << 20).unwrap();
            let translated = translate(&program, &isa, &pages).unwrap();
            translated.verify().unwrap();
            let compiled = translated.compile(&program, &mut context).unwrap();
            assert!(compiled.code_bytes > 0, "{}", generator.name);
        }
    }
}
