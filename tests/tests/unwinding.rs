//! Host functions that do not return: compiled code has no unwind tables, so the process must end rather than go on in it.

// In an emulator a program does not start itself.
#![cfg(target_arch = "x86_64")]

use patchjit::call;
use patchjit::code::CodeBuffer;
use patchjit::compile::{self, FunctionCode, Options};
use patchjit::runtime::{Context, HostCode};
use patchjit::verify;
use patchjit_memory::Arena;
use patchjit_tests::host_set;
use std::ffi::c_void;
use std::process::Command;

const PROGRAM: &str = "host @leave()\n\
    func @f() {\nentry:\n    call_host @leave() else trap 1\n    return\n}\n";

unsafe extern "C" fn panics(_context: *mut c_void, _values: *mut u64) -> u32 {
    panic!("in a host function")
}

/// An exception of Windows' own, which Rust knows nothing of.
#[cfg(windows)]
unsafe extern "C" fn raises(_context: *mut c_void, _values: *mut u64) -> u32 {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn RaiseException(code: u32, flags: u32, count: u32, arguments: *const u64);
    }
    // SAFETY: an exception without arguments.
    unsafe { RaiseException(0xe000_1234, 1, 0, std::ptr::null()) };
    0
}

fn run(host: HostCode) {
    let module = patchjit_text::parse(PROGRAM).expect("a program");
    let program = module.program();
    let mut facts = vec![0; verify::workspace_words(&program)];
    let verified = verify::verify(program, &mut facts).expect("a valid program");
    let mut words = vec![0; compile::workspace_words(&verified)];
    let room = compile::code_bytes(&verified);
    let mut arena = Arena::new(room + 4096).expect("executable memory");
    let mut block = arena.reserve(room).expect("room");
    let mut writing = arena.write(&mut block).expect("room");
    let mut functions = [FunctionCode::default()];
    let buffer = CodeBuffer {
        write: writing.buffer().write,
        execute_at: 0,
    };
    let options = Options::default();
    let compiled = compile::compile(
        &verified,
        host_set(),
        &options,
        &mut words,
        buffer,
        &mut functions,
    )
    .expect("it compiles");
    let code = writing.publish(compiled.code_length as usize);
    let entry = code.expect("executable") + u64::from(functions[0].entry);
    let hosts = [host];
    let mut context = Context::new();
    context.depth = 1;
    context.hosts = hosts.as_ptr();
    // SAFETY: the code was compiled for this machine, and its one host function is bound. It does not unwind: it ends
    // the process.
    unsafe { call::enter(entry, &raw mut context, std::ptr::null_mut()) };
}

/// Run by the test below in a process of its own.
#[test]
fn leaves_when_told_to() {
    let Ok(how) = std::env::var("PATCHJIT_LEAVE") else {
        return;
    };
    let host: HostCode = match how.as_str() {
        "panic" => panics,
        #[cfg(windows)]
        "exception" => raises,
        other => panic!("{other}"),
    };
    // What would go on in code that has been left.
    let _ = std::panic::catch_unwind(|| run(host));
    println!("still alive");
}

#[test]
fn host_functions_that_do_not_return_end_the_process() {
    let ways: &[&str] = if cfg!(windows) {
        &["panic", "exception"]
    } else {
        &["panic"]
    };
    for how in ways {
        let output = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "leaves_when_told_to", "--nocapture"])
            .env("PATCHJIT_LEAVE", how)
            .output()
            .expect("a process");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{how}: {text}");
        assert!(!text.contains("still alive"), "{how}: {text}");
    }
}
