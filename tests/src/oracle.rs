//! Runs programs on the oracle.

use patchjit::error::Error;
use patchjit::interp::{self, Options};
use patchjit::ir::Program;
use patchjit::runtime::Status;
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
    decoded(program, |decoded| {
        run_decoded(decoded, machine, function, arguments, charge_fuel)
    })?
}

/// Runs a function without fuel, once for each list of arguments.
pub fn run_each<const N: usize>(
    program: &Program<'_>,
    machine: &mut Machine,
    function: u32,
    arguments: &[[u64; N]],
) -> Result<Vec<Run>, Error> {
    decoded(program, |decoded| {
        arguments
            .iter()
            .map(|list| run_decoded(decoded, machine, function, list, false))
            .collect()
    })?
}

/// Verifies and decodes a program for the time of a function.
pub fn decoded<R>(
    program: &Program<'_>,
    f: impl FnOnce(&interp::Decoded<'_>) -> R,
) -> Result<R, Error> {
    let mut facts = vec![0; verify::workspace_words(program)];
    let verified = verify::verify(*program, &mut facts)?;
    // What stands in the workspace before does not matter.
    let mut workspace = vec![0xaaaa_aaaa; interp::workspace_words(&verified)];
    Ok(f(&interp::decode(&verified, &mut workspace)?))
}

/// Runs a function of a decoded program, on a stack for the machine's depth.
pub fn run_decoded(
    decoded: &interp::Decoded<'_>,
    machine: &mut Machine,
    function: u32,
    arguments: &[u64],
    charge_fuel: bool,
) -> Result<Run, Error> {
    let mut stack = vec![0x5555_5555_5555_5555; decoded.stack_words(machine.depth as u32)];
    run_on(
        decoded,
        machine,
        function,
        arguments,
        charge_fuel,
        &mut stack,
    )
}

/// Runs a function of a decoded program on this stack.
pub fn run_on(
    decoded: &interp::Decoded<'_>,
    machine: &mut Machine,
    function: u32,
    arguments: &[u64],
    charge_fuel: bool,
    stack: &mut [u64],
) -> Result<Run, Error> {
    let program = decoded.program();
    let signature = program.functions[function as usize].signature;
    let results = program.results(signature).len();
    let mut values = arguments.to_vec();
    values.resize(results.max(arguments.len()), 0);
    let mut context = machine.context();
    machine.follow(&mut context);
    // SAFETY: the machine binds what the program declares, and its hosts return.
    let outcome = unsafe {
        decoded.run(
            function,
            &raw mut context,
            &mut values,
            stack,
            Options { charge_fuel },
        )
    };
    assert_eq!(context.depth, machine.depth, "the depth is as before");
    let outcome = outcome?;
    values.truncate(results);
    if outcome.status != Status::Returned {
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
