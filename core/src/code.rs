//! Where machine code is written, and where it will run.
//!
//! The bytes belong to the embedder. Nothing here makes memory executable: that is the *publish* step of
//! whoever owns the pages.

/// Two views of the bytes that hold code: one to write through, one to run at.
///
/// On a system that maps the pages twice the views have different addresses; where the protection of
/// one mapping is changed instead, or where there is no protection at all, `execute_at` is the address
/// of `write` itself. The code depends on `execute_at` only where it must (never on `write`'s address),
/// so that the same program gives the same bytes on every host.
///
/// `execute_at` should be a multiple of [`CODE_ALIGNMENT`].
#[derive(Debug)]
pub struct CodeBuffer<'a> {
    /// Where the bytes are written.
    pub write: &'a mut [u8],
    /// The address at which the first byte of `write` will run.
    pub execute_at: u64,
}

/// What [`CodeBuffer::execute_at`] should be a multiple of: the alignment of literals behind the code.
pub const CODE_ALIGNMENT: u64 = 16;

impl<'a> CodeBuffer<'a> {
    /// A buffer that will run where it is written.
    pub fn in_place(write: &'a mut [u8]) -> CodeBuffer<'a> {
        let execute_at = write.as_ptr() as usize as u64;
        CodeBuffer { write, execute_at }
    }

    /// The same buffer for a shorter time, for a callee that takes it by value.
    pub fn reborrow(&mut self) -> CodeBuffer<'_> {
        CodeBuffer {
            write: self.write,
            execute_at: self.execute_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CodeBuffer;

    #[test]
    fn in_place_runs_where_it_is_written() {
        let mut bytes = [0u8; 32];
        let address = bytes.as_ptr() as usize as u64;
        let mut buffer = CodeBuffer::in_place(&mut bytes);
        assert_eq!(buffer.execute_at, address);
        buffer.reborrow().write[3] = 7;
        assert_eq!(buffer.write[3], 7);
        assert_eq!(buffer.reborrow().execute_at, address);
    }
}
