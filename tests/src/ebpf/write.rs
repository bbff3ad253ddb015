//! Random programs of eBPF: some that rbpf's interpreter runs, too, and some that are to do harm.

use super::Assembly;
use crate::random::Random;

/// Registers with numbers; r1 is a pointer for a moment, r6 one to the packet, r7 counts rounds.
const NUMBERS: [u8; 6] = [0, 2, 3, 4, 5, 8];
/// How many bytes of packet random programs access.
pub const PACKET_BYTES: usize = 64;
const POINTER: u8 = 1;
const PACKET: u8 = 6;
const ROUNDS: u8 = 7;
const FRAME: u8 = 10;
/// Where a pointer is kept, from the frame's end; numbers are kept below.
const KEPT: i16 = -8;

/// Writes random programs that rbpf's interpreter runs, too.
struct Writer<'r> {
    random: &'r mut Random,
    assembly: Assembly,
    /// Calls that are to lead to a function behind the program.
    calls: Vec<usize>,
}

impl Writer<'_> {
    fn number(&mut self) -> u8 {
        *self.random.pick(&NUMBERS)
    }

    fn constant(&mut self) -> i32 {
        match self.random.below(4) {
            0 => self.random.below(40) as i32 - 8,
            1 => *self
                .random
                .pick(&[i32::MIN, i32::MAX, -1, 0, 1, 255, 65535]),
            _ => self.random.bits() as i32,
        }
    }

    fn arithmetic(&mut self) {
        let (class, bits) = *self.random.pick(&[(7, 64), (4, 32)]);
        let code = *self
            .random
            .pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        let (to, from) = (self.number(), self.number());
        let by_register = self.random.percent(50);
        if code == 9 && class == 4 {
            // By zero, rbpf leaves the upper half as it is; the RFC makes it zero.
            self.assembly.push(0xbc, to, to, 0, 0);
        }
        match code {
            8 => self.assembly.push(0x80 | class, to, 0, 0, 0),
            13 => {
                let order = 8 * self.random.below(2) as u8;
                let width = *self.random.pick(&[16, 32, 64]);
                self.assembly.push(0xd4 | order, to, 0, 0, width);
            }
            code if by_register => self.assembly.push(code << 4 | 8 | class, to, from, 0, 0),
            code => {
                let shifts = matches!(code, 6 | 7 | 12);
                let constant = match shifts {
                    true => self.random.below(bits) as i32,
                    false => self.constant(),
                };
                self.assembly.push(code << 4 | class, to, 0, 0, constant);
            }
        }
    }

    /// Makes r1 a pointer to a place with at least 16 bytes behind it, and gives how far accesses may go from it.
    fn point(&mut self) -> std::ops::Range<i16> {
        match self.random.below(4) {
            0 => {
                self.assembly.push(0xbf, POINTER, PACKET, 0, 0);
                0..PACKET_BYTES as i16
            }
            1 => {
                // By a number.
                let number = self.number();
                let to = self.number();
                self.assembly.push(0xbf, to, number, 0, 0);
                self.assembly.push(0x57, to, 0, 0, 31);
                self.assembly.push(0xbf, POINTER, PACKET, 0, 0);
                self.assembly.push(0x0f, POINTER, to, 0, 0);
                0..(PACKET_BYTES - 31) as i16
            }
            2 => {
                // Before the packet's begin, or into it.
                let distance = self.random.below(64) as i32 - 32;
                self.assembly.push(0xbf, POINTER, PACKET, 0, 0);
                self.assembly.push(0x07, POINTER, 0, 0, distance);
                -distance as i16..(PACKET_BYTES as i32 - distance) as i16
            }
            _ => {
                // One that was kept.
                self.assembly.push(0x7b, FRAME, PACKET, KEPT, 0);
                self.assembly.push(0x79, POINTER, FRAME, KEPT, 0);
                0..PACKET_BYTES as i16
            }
        }
    }

    fn access(&mut self) {
        let (size, width) = *self
            .random
            .pick(&[(0x00, 4), (0x08, 2), (0x10, 1), (0x18, 8)]);
        let (base, reach) = match self.random.percent(60) {
            true => (POINTER, self.point()),
            false => (FRAME, -128..KEPT),
        };
        let places = (reach.end - reach.start - width) as usize + 1;
        let offset = reach.start + self.random.below(places) as i16;
        let number = self.number();
        match self.random.below(3) {
            0 => self
                .assembly
                .push(0x62 | size, base, 0, offset, self.random.bits() as i32),
            1 => self.assembly.push(0x63 | size, base, number, offset, 0),
            _ => self.assembly.push(0x61 | size, number, base, offset, 0),
        }
    }

    fn call(&mut self) {
        for register in 1..=5 {
            let constant = self.constant();
            self.assembly.push(0xb7, register, 0, 0, constant);
        }
        self.calls.push(self.assembly.len());
        self.assembly.push(0x85, 0, 1, 0, 0);
        for register in 1..=5 {
            let constant = self.constant();
            self.assembly.push(0xb7, register, 0, 0, constant);
        }
    }

    /// A jump over what `inner` writes.
    fn branch(&mut self, inner: impl FnOnce(&mut Self)) {
        let code = *self.random.pick(&[1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13]);
        let class = *self.random.pick(&[5, 6]);
        let (a, b) = (self.number(), self.number());
        // rbpf takes constants without their sign, the kernel with it.
        let constant = self.constant() & i32::MAX;
        match self.random.percent(50) {
            true => self.assembly.push(code << 4 | 8 | class, a, b, 0, 0),
            false => self.assembly.push(code << 4 | class, a, 0, 0, constant),
        }
        let jump = self.assembly.len();
        inner(self);
        let distance = (self.assembly.len() - jump) as i16;
        self.assembly.0[8 * jump - 6..][..2].copy_from_slice(&distance.to_le_bytes());
    }

    fn statements(&mut self, count: usize, depth: usize) {
        for _ in 0..count {
            match self.random.below(12) {
                0 if depth > 0 => {
                    let count = 1 + self.random.below(4);
                    self.branch(|it| it.statements(count, depth - 1));
                }
                1 if depth == 3 => {
                    let rounds = 1 + self.random.below(5) as i32;
                    self.assembly.push(0xb7, ROUNDS, 0, 0, rounds);
                    let start = self.assembly.len();
                    let count = 1 + self.random.below(6);
                    self.statements(count, 2);
                    self.assembly.push(0x07, ROUNDS, 0, 0, -1);
                    let back = start as i64 - self.assembly.len() as i64 - 1;
                    self.assembly.push(0x55, ROUNDS, 0, back as i16, 0);
                }
                2 => {
                    let constant = self.random.bits();
                    let to = self.number();
                    self.assembly.wide(to, constant);
                }
                3 if depth == 3 => self.call(),
                4..=7 => self.access(),
                _ => self.arithmetic(),
            }
        }
    }

    fn program(mut self) -> Vec<u8> {
        self.assembly.push(0xbf, PACKET, 1, 0, 0);
        for register in NUMBERS {
            let constant = self.constant();
            self.assembly.push(0xb7, register, 0, 0, constant);
        }
        for slot in 1..=16 {
            let constant = self.constant();
            self.assembly.push(0x7a, FRAME, 0, -8 * slot, constant);
        }
        let count = 4 + self.random.below(40);
        self.statements(count, 3);
        self.assembly.push(0x95, 0, 0, 0, 0);
        // A function that works on its arguments and its own frame.
        let callee = self.assembly.len();
        for call in std::mem::take(&mut self.calls) {
            let distance = (callee as i64 - call as i64 - 1) as i32;
            self.assembly.0[8 * call + 4..][..4].copy_from_slice(&distance.to_le_bytes());
        }
        self.assembly.push(0xbf, 0, 1, 0, 0);
        self.assembly.push(0xb7, 8, 0, 0, 7);
        for slot in 1..=16 {
            self.assembly.push(0x7b, FRAME, 2, -8 * slot, 0);
        }
        for _ in 0..self.random.below(8) {
            self.arithmetic();
        }
        self.assembly.push(0x79, 3, FRAME, -64, 0);
        self.assembly.push(0x0f, 0, 3, 0, 0);
        self.assembly.push(0x95, 0, 0, 0, 0);
        self.assembly.0
    }
}

/// A random program for a packet of [`PACKET_BYTES`], which rbpf takes and runs to its end.
pub fn random(random: &mut Random) -> Vec<u8> {
    let writer = Writer {
        random,
        assembly: Assembly::default(),
        calls: Vec::new(),
    };
    writer.program()
}

/// Bytes that are instructions more often than not: any jumps, any addresses.
pub fn hostile(random: &mut Random) -> Vec<u8> {
    const OPCODES: [u8; 39] = [
        0x07, 0x0f, 0x17, 0x1f, 0x2f, 0x3f, 0x4f, 0x57, 0x67, 0x7f, 0x97, 0xaf, 0xb7, 0xbf, 0xcf,
        0x04, 0x0c, 0x3c, 0x9c, 0xbc, 0x61, 0x69, 0x71, 0x79, 0x91, 0x62, 0x7a, 0x63, 0x73, 0x7b,
        0xdb, 0xc3, 0x05, 0x15, 0x2d, 0x5e, 0x66, 0xcd, 0x95,
    ];
    let count = 2 + random.below(60);
    let mut assembly = Assembly::default();
    while assembly.len() < count {
        let opcode = match random.percent(1) {
            // Functions end where others begin, and few jumps stay within.
            true => 0x85,
            false => *random.pick(&OPCODES),
        };
        if random.below(300) == 0 {
            assembly.wide(random.below(10) as u8, random.bits());
            continue;
        }
        let (destination, source) = (random.below(10) as u8, random.below(11) as u8);
        let class = opcode & 7;
        let jumps = class == 5 || class == 6;
        let offset = match class {
            1..=3 => random.below(48) as i16 - 24,
            _ if jumps => random.below(count) as i16 - assembly.len() as i16 - 1,
            _ => 0,
        };
        let has_source = match class {
            1..=3 => class != 2,
            _ => opcode & 8 != 0,
        };
        let immediate = match class {
            1 => 0,
            3 if opcode & 0xc0 == 0xc0 => *random.pick(&[0, 1, 0x41, 0x50, 0xa1, 0xe1, 0xf1]),
            3 => 0,
            _ if has_source => 0,
            _ => random.bits() as i32,
        };
        match opcode {
            0x05 => assembly.push(opcode, 0, 0, offset, 0),
            0x85 => assembly.push(opcode, 0, 1, 0, i32::from(offset)),
            0x95 => assembly.push(opcode, 0, 0, 0, 0),
            _ => {
                let source = if has_source { source } else { 0 };
                assembly.push(opcode, destination, source, offset, immediate);
            }
        }
    }
    assembly.push(0x95, 0, 0, 0, 0);
    if random.percent(10) {
        let at = random.below(assembly.0.len());
        assembly.0[at] ^= 1 << random.below(8);
    }
    assembly.0
}
