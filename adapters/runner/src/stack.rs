//! Runs code on a stack that is large enough for it.
//!
//! Compiled code checks how many calls are within each other, not where the stack ends: the embedder
//! provides the allowed depth times the bytes that a call uses at most. Pages of a thread's stack come from
//! the system as they are touched, so a large stack costs address space only.

/// Room for host functions, the entry and the thread itself.
const RESERVE: usize = 512 << 10;

/// Runs a closure on a thread of its own, with room for `depth` calls of `frame_bytes` each.
pub fn with_room<R: Send>(
    depth: u32,
    frame_bytes: u32,
    run: impl FnOnce() -> R + Send,
) -> Result<R, String> {
    let bytes = u64::from(depth) * u64::from(frame_bytes) + RESERVE as u64;
    let no_room = |why: &str| {
        format!(
            "no stack of {bytes} bytes for {depth} calls of {frame_bytes} bytes ({why}): lower --depth"
        )
    };
    let bytes = usize::try_from(bytes).map_err(|error| no_room(&error.to_string()))?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("run".into())
            .stack_size(bytes)
            .spawn_scoped(scope, run)
            .map_err(|error| no_room(&error.to_string()))?;
        match thread.join() {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::with_room;

    #[test]
    fn large_stacks_cost_little_and_absurd_ones_are_refused() {
        assert_eq!(with_room(20_000, 10_000, || 5), Ok(5));
        let error = with_room(u32::MAX, u32::MAX, || 5).unwrap_err();
        assert!(error.contains("lower --depth"), "{error}");
    }
}
