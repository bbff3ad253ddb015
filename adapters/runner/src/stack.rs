//! Runs code on a stack that is large enough for it.
//!
//! Compiled code checks how many calls are within each other, not where the stack ends: the embedder
//! provides the allowed depth times the bytes that a call uses at most. Pages of a thread's stack come from
//! the system as they are touched, so a large stack costs address space only. Windows has them touched in order, which
//! code with frames of more than a page does not do: there the stack is touched before it runs.

/// Room for host functions, the entry and the thread itself.
const RESERVE: usize = 512 << 10;

/// A page of Windows' stacks: what is touched next must lie at most this far below what has been touched.
const PAGE: usize = 4096;

/// Touches every page of the stack below, down to an address, so that they are there.
#[inline(never)]
fn touch(end: usize) {
    let mut page = [0u8; PAGE];
    if std::hint::black_box(&mut page).as_ptr().addr() > end {
        touch(end);
    }
    // Used again, so that the call before is not one in tail position.
    std::hint::black_box(&mut page);
}

/// The same for this many bytes.
fn touch_bytes(bytes: usize) {
    let here = 0u8;
    touch((&raw const here).addr().saturating_sub(bytes));
}

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
            .spawn_scoped(scope, move || {
                if cfg!(windows) && frame_bytes as usize > PAGE {
                    touch_bytes(bytes - RESERVE);
                }
                run()
            })
            .map_err(|error| no_room(&error.to_string()))?;
        match thread.join() {
            Ok(result) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{PAGE, touch_bytes, with_room};

    #[test]
    fn stacks_can_be_touched_before_they_are_used() {
        let touched = with_room(10_000, 2 * PAGE as u32, || touch_bytes(20_000 * PAGE));
        assert_eq!(touched, Ok(()));
    }

    #[test]
    fn large_stacks_cost_little_and_absurd_ones_are_refused() {
        assert_eq!(with_room(20_000, 10_000, || 5), Ok(5));
        let error = with_room(u32::MAX, u32::MAX, || 5).unwrap_err();
        assert!(error.contains("lower --depth"), "{error}");
    }
}
