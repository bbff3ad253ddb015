//! What a program runs on: its memory, its helpers, what it is given.
//!
//! A program's addresses are numbers of its own, below 2^31: region k begins at [`address_of`] k, and whoever puts a pointer
//! where the program reads it (an argument, a field of the context) puts such a number there. So 32 bits hold any pointer, as
//! the fields of the kernel's `struct xdp_md` do.

/// The most regions that a machine has.
pub const MAX_REGIONS: usize = 7;

/// The most bytes of a region.
pub const MAX_REGION_BYTES: u64 = 1 << WINDOW_BITS;

/// How many bytes of stack a function has, up to its frame pointer.
pub const FRAME_BYTES: u64 = 512;

/// Each region has that many bits of addresses for itself.
pub(crate) const WINDOW_BITS: u32 = 28;

/// The address at which a region begins for the program.
pub const fn address_of(region: u8) -> u64 {
    (region as u64 + 1) << WINDOW_BITS
}

/// The memory, helpers and arguments of a program.
///
/// The translated program declares its regions and its host functions in the order of `regions` and `helpers`.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// The memory. Where nothing is known of an address, the regions are tried in this order.
    pub regions: &'a [Region],
    /// Which of them is the stack; its size says how deep calls go, [`FRAME_BYTES`] each. It must be writable.
    pub stack: u8,
    /// Which of them the instructions of classic BPF read, if they may be used.
    pub packet: Option<u8>,
    /// What is known of r1 to r5 when the program begins.
    pub arguments: [Kind; 5],
    /// Places in memory that hold pointers whenever the program reads them.
    pub fields: &'a [Field],
    /// The functions that programs call by their numbers.
    pub helpers: &'a [Helper],
}

/// A span of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// How many bytes, at most [`MAX_REGION_BYTES`].
    pub size: u64,
    /// Whether the program may write.
    pub writable: bool,
}

/// What is known of a value before the program runs. It decides how an access is checked, never whether: a pointer that leads
/// elsewhere traps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Unknown,
    /// A pointer into this region.
    Pointer(u8),
}

/// A place that holds a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The region in which it is.
    pub region: u8,
    /// Where it begins there, in bytes.
    pub offset: u32,
    /// How many bytes it has: 4 or 8.
    pub width: u8,
    /// The region that it points to.
    pub to: u8,
}

/// A function of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Programs call it by this number.
    pub number: i32,
    /// How many arguments it takes, at most 5. It is passed r1 to r5 in any case; those beyond are zero.
    pub arguments: u8,
    /// What it gives.
    pub result: Kind,
}

impl Machine<'_> {
    /// The helper with this number, and its place among the helpers.
    pub(crate) fn helper(&self, number: i32) -> Option<(u32, &Helper)> {
        (0..)
            .zip(self.helpers)
            .find(|(_, helper)| helper.number == number)
    }
}
