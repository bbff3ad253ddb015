//! Prints what the compiler tells of its decisions on a program in a file, and what the checker says.
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, Event, FunctionCode, Observer, Options};
use patchjit_stencils::X86_64_SYSV;
use patchjit_tests::allocation::Checker;

struct Both<'a>(Checker<'a>);

impl Observer for Both<'_> {
    fn event(&mut self, event: Event) {
        println!("{event:?}");
        self.0.event(event);
    }
}

fn main() {
    let path = std::env::args().nth(1).expect("a file");
    let source = std::fs::read_to_string(path).expect("a file");
    let module = patchjit_text::parse(&source).expect("a program");
    let program = module.program();
    let mut words = vec![0; 1 << 22];
    let verified = patchjit::verify::verify(program, &mut words).expect("a valid program");
    let mut workspace = vec![0; compile::workspace_words(&verified)];
    let mut code = vec![0; compile::code_bytes(&verified)];
    let mut functions = vec![FunctionCode::default(); program.functions.len()];
    let mut both = Both(Checker::new(&program));
    let buffer = CodeBuffer {
        write: &mut code,
        execute_at: 0,
    };
    let compiled = compile::compile_observed(
        &verified,
        &X86_64_SYSV,
        &Options::default(),
        &mut workspace,
        buffer,
        &mut functions,
        &mut both,
    );
    println!("{compiled:?}\n{:?}", both.0.check());
}
