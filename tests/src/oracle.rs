//! Runs programs on the oracle.

use patchjit::error::Error;
use patchjit::interp::{self, Options};
use patchjit::ir::Program;
use patchjit::verify;

use crate::machine::Machine;
use crate::reference::Run;

/// Runs a function on the oracle, on a stack for the machine's depth. `ops` of what it gives is zero.
pub fn run(
    program: &Program<'_>,
    machine: &mut Machine,
    function: u32,
    arguments: &[u64],
    charge_fuel: bool,
) -> Result<Run, Error> {
    let mut facts = vec![0; verify::workspace_words(program)];
    let verified = verify::verify(*program, &mut facts)?;
    let mut workspace = vec![0xaaaa_aaaa; interp::workspace_words(&verified)];
    let decoded = interp::decode(&verified, &mut workspace)?;
    let mut stack = vec![0x5555_5555_5555_5555; decoded.stack_words(machine.depth as u32)];
    let signature = program.functions[function as usize].signature;
    let results = program.results(signature).len();
    let mut values = arguments.to_vec();
    values.resize(results.max(arguments.len()), 0);
    let mut context = machine.context();
    // SAFETY: the machine binds what the program declares, and its hosts return.
    let outcome = unsafe {
        decoded.run(
            function,
            &raw mut context,
            &mut values,
            &mut stack,
            Options { charge_fuel },
        )?
    };
    assert_eq!(context.depth, machine.depth, "the depth is as before");
    values.truncate(results);
    if outcome.status != patchjit::runtime::Status::Returned {
        values.clear();
        assert_eq!(context.status, outcome.status as u32);
        assert_eq!(context.exit_number, outcome.exit_number);
    }
    Ok(Run {
        status: outcome.status,
        exit_number: outcome.exit_number,
        results: values,
        fuel: context.fuel,
        ops: 0,
    })
}
