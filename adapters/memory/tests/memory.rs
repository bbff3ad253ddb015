//! Executable memory, seen from outside: protections as the kernel reports them, faults in a process of
//! their own, and code that runs.
#![cfg(all(
    any(target_os = "linux", windows),
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]

#[cfg_attr(target_os = "linux", path = "system/linux.rs")]
#[cfg_attr(windows, path = "system/windows.rs")]
mod system;

use patchjit_memory::{Arena, Block, Error, TRAP_BYTE, Views};
use std::ops::Range;
use std::process::Command;
use system::{VIEWS, mappings};

/// How many bytes [`returns`] gives.
const LENGTH: usize = if cfg!(target_arch = "x86_64") { 6 } else { 12 };

/// `mov eax, n; ret`
#[cfg(target_arch = "x86_64")]
fn returns(n: u32) -> Vec<u8> {
    let [a, b, c, d] = n.to_le_bytes();
    vec![0xb8, a, b, c, d, 0xc3]
}

/// `movz w0, n & 0xffff; movk w0, n >> 16, lsl #16; ret`
#[cfg(target_arch = "aarch64")]
fn returns(n: u32) -> Vec<u8> {
    let code = [
        0x5280_0000 | (n & 0xffff) << 5,
        0x72a0_0000 | (n >> 16) << 5,
        0xd65f_03c0,
    ];
    code.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// `lui a0, upper; addiw a0, a0, lower; ret`
#[cfg(target_arch = "riscv64")]
fn returns(n: u32) -> Vec<u8> {
    let upper = n.wrapping_add(0x800) & 0xffff_f000;
    let code = [
        0x0000_0537 | upper,
        0x0005_051b | n.wrapping_sub(upper) << 20,
        0x0000_8067,
    ];
    code.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn call(address: u64) -> u32 {
    // SAFETY: the tests call what they have published, made by `returns`.
    unsafe { std::mem::transmute::<usize, extern "C" fn() -> u32>(address as usize)() }
}

fn install(arena: &mut Arena, n: u32) -> Block {
    let code = returns(n);
    let mut block = arena.reserve(code.len()).unwrap();
    let mut writing = arena.write(&mut block).unwrap();
    writing.buffer().write[..code.len()].copy_from_slice(&code);
    writing.publish(code.len()).unwrap();
    block
}

fn bytes(addresses: Range<u64>) -> Vec<u8> {
    // SAFETY: the tests read published blocks, which are readable.
    addresses
        .map(|address| unsafe { (address as usize as *const u8).read_volatile() })
        .collect()
}

fn protection(address: u64) -> String {
    let found = mappings()
        .into_iter()
        .find(|(range, _)| range.contains(&address));
    found.map_or_else(|| "none".to_string(), |(_, protection)| protection)
}

fn assert_never_both() {
    for (range, protection) in mappings() {
        assert!(
            !(protection.contains('w') && protection.contains('x')),
            "{range:x?} is {protection}"
        );
    }
}

#[test]
fn code_runs_through_the_other_view() {
    for views in VIEWS {
        let mut arena = Arena::with_views(1 << 16, views).unwrap();
        assert_eq!(arena.views(), views);
        let code = returns(42);
        let mut block = arena.reserve(code.len()).unwrap();
        let mut writing = arena.write(&mut block).unwrap();
        let buffer = writing.buffer();
        let written_at = buffer.write.as_ptr() as u64;
        assert_eq!(written_at == buffer.execute_at, views == Views::One);
        buffer.write[..code.len()].copy_from_slice(&code);
        let entry = writing.publish(code.len()).unwrap();
        assert_eq!(entry, block.address());
        assert_eq!(call(entry), 42);
    }
}

#[test]
fn nothing_is_ever_writable_and_executable() {
    for views in VIEWS {
        let mut arena = Arena::with_views(1 << 20, views).unwrap();
        assert_never_both();
        let first = install(&mut arena, 1);
        assert_never_both();
        let mut block = arena.reserve(100_000).unwrap();
        assert_never_both();
        assert_eq!(protection(block.address()), executes(views));
        let mut writing = arena.write(&mut block).unwrap();
        assert_never_both();
        let buffer = writing.buffer();
        let (write, execute) = (buffer.write.as_ptr() as u64, buffer.execute_at);
        buffer.write[..LENGTH].copy_from_slice(&returns(2));
        match views {
            Views::Two => {
                assert_eq!(protection(write), "rw-s");
                assert_eq!(protection(execute), "r-xs");
                assert_eq!(call(first.address()), 1, "others run while code is written");
            }
            Views::One => assert_eq!(protection(write), "rw-p"),
        }
        writing.publish(LENGTH).unwrap();
        assert_never_both();
        assert_eq!(protection(execute), executes(views));
        assert_eq!(call(execute), 2);
        drop(arena.write(&mut block).unwrap());
        assert_never_both();
        assert_eq!(protection(execute), executes(views));
        arena.release(block).unwrap();
        assert_never_both();
        assert_eq!(call(first.address()), 1);
        drop(arena);
        assert_never_both();
    }
}

fn executes(views: Views) -> &'static str {
    match views {
        Views::Two => "r-xs",
        Views::One => "r-xp",
    }
}

#[test]
fn the_protection_follows_use() {
    for views in VIEWS {
        let mut arena = Arena::with_views(1 << 20, views).unwrap();
        let Range { start, end } = arena.addresses();
        assert_eq!(end - start, 1 << 20);
        assert!(protection(start - 1).starts_with("---"), "guard before");
        assert!(protection(end).starts_with("---"), "guard behind");
        assert!(protection(end - 1).starts_with("---"), "not used yet");
        let _block = arena.reserve(1 << 20).unwrap();
        assert_eq!(protection(end - 1), executes(views));
        assert!(protection(end).starts_with("---"), "guard behind");
    }
}

#[test]
fn small_functions_share_pages() {
    for views in VIEWS {
        let mut arena = Arena::with_views(1 << 16, views).unwrap();
        let blocks: Vec<_> = (0..1000).map(|n| install(&mut arena, n)).collect();
        let start = blocks[0].address();
        for (n, block) in blocks.iter().enumerate() {
            assert_eq!(block.address(), start + 16 * n as u64);
            assert_eq!(call(block.address()), n as u32);
        }
        assert_eq!(arena.taken(), 16_000);
    }
}

#[test]
fn released_ranges_are_filled_and_used_again() {
    for views in VIEWS {
        let mut arena = Arena::with_views(1 << 16, views).unwrap();
        let before = install(&mut arena, 1);
        let block = install(&mut arena, 2);
        let behind = install(&mut arena, 3);
        let (address, taken) = (block.address(), arena.taken());
        assert_ne!(bytes(address..address + 4), [TRAP_BYTE; 4]);
        arena.release(block).unwrap();
        assert_eq!(arena.taken(), taken - 16);
        assert_eq!(bytes(address..address + 16), [TRAP_BYTE; 16]);
        assert_eq!((call(before.address()), call(behind.address())), (1, 3));
        let again = install(&mut arena, 4);
        assert_eq!(again.address(), address);
        assert_eq!(call(address), 4);
    }
}

#[test]
fn what_is_not_used_becomes_traps_and_goes_back() {
    for views in VIEWS {
        let mut arena = Arena::with_views(1 << 16, views).unwrap();
        let mut block = arena.reserve(5000).unwrap();
        let mut writing = arena.write(&mut block).unwrap();
        writing.buffer().write.fill(0x90);
        writing.buffer().write[..LENGTH].copy_from_slice(&returns(7));
        let entry = writing.publish(LENGTH).unwrap();
        assert_eq!((block.length(), arena.taken()), (16, 16));
        let behind = entry + LENGTH as u64..entry + 5008;
        assert!(bytes(behind).iter().all(|&byte| byte == TRAP_BYTE));
        assert_eq!(call(entry), 7);
        // A block can be written again, and keeps what is there.
        let mut writing = arena.write(&mut block).unwrap();
        assert_eq!(writing.buffer().write[..LENGTH], returns(7));
        writing.buffer().write[..LENGTH].copy_from_slice(&returns(8));
        assert_eq!(writing.publish(LENGTH).unwrap(), entry);
        // The emulator in which RISC-V is tested does not see that code is rewritten through another mapping.
        if cfg!(not(target_arch = "riscv64")) || views == Views::One {
            assert_eq!(call(entry), 8);
        }
    }
}

#[test]
fn dropped_writings_leave_traps() {
    for views in VIEWS {
        let mut arena = Arena::with_views(1 << 16, views).unwrap();
        let mut block = arena.reserve(64).unwrap();
        arena.write(&mut block).unwrap().buffer().write.fill(0x90);
        let address = block.address();
        assert_eq!(bytes(address..address + 64), [TRAP_BYTE; 64]);
    }
}

#[test]
fn errors_say_what_is_missing() {
    for views in VIEWS {
        let mut arena = Arena::with_views(4096, views).unwrap();
        let mut block = arena.reserve(4000).unwrap();
        assert_eq!(
            arena.reserve(97).unwrap_err(),
            Error::Full {
                needed: 97,
                largest: 96
            }
        );
        let used = block.length() + 1;
        assert_eq!(
            arena.write(&mut block).unwrap().publish(used),
            Err(Error::TooLong { used, length: 4000 })
        );
        let mut other = Arena::with_views(4096, views).unwrap();
        assert_eq!(other.write(&mut block).unwrap_err(), Error::Foreign);
        assert_eq!(other.release(block), Err(Error::Foreign));
        assert!(matches!(
            Arena::with_views(1 << 60, views),
            Err(Error::System { code, .. }) if code != 0
        ));
        assert!(matches!(
            Arena::with_views(usize::MAX, views),
            Err(Error::Full { .. })
        ));
    }
    let text = Error::System {
        step: patchjit_memory::Step::Reserve,
        code: 12,
    };
    assert!(text.to_string().starts_with("reserving address space: "));
}

/// A large arena costs address space, not memory.
#[test]
#[cfg(target_os = "linux")]
fn storage_grows_with_use() {
    let mut arena = Arena::new(1 << 30).unwrap();
    let block = install(&mut arena, 5);
    assert_eq!(call(block.address()), 5);
    let resident = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = resident
        .lines()
        .find(|line| line.starts_with("Rss:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kilobytes < 1 << 19, "{line}");
}

#[test]
fn arenas_move_between_threads() {
    fn both<T: Send + Sync>(_: &T) {}
    let mut arena = Arena::new(1 << 16).unwrap();
    let block = install(&mut arena, 6);
    both(&arena);
    both(&block);
    let (arena, block) = std::thread::spawn(move || (arena, block)).join().unwrap();
    assert_eq!(call(block.address()), 6);
    drop(arena);
}

/// Run by the tests below in a process of its own: does what the variable says, which should kill it.
#[test]
fn faults_when_told_to() {
    let Ok(what) = std::env::var("PATCHJIT_MEMORY_FAULT") else {
        return;
    };
    let views = if what.ends_with("one") {
        Views::One
    } else {
        Views::Two
    };
    let mut arena = Arena::with_views(1 << 16, views).unwrap();
    let block = install(&mut arena, 1);
    let Range { start, end } = arena.addresses();
    let whole = {
        let mut rest = arena.reserve((1 << 16) - 16).unwrap();
        let mut writing = arena.write(&mut rest).unwrap();
        writing.buffer().write.as_mut_ptr()
    };
    match what.split_once(' ').unwrap().0 {
        "guard-before" => drop(bytes(start - 1..start)),
        "guard-behind" => drop(bytes(end..end + 1)),
        "guard-written-behind" => {
            // SAFETY: not safe at all; that the process dies here is what is tested.
            unsafe { whole.add((1 << 16) - 16).write_volatile(0) }
        }
        "write-execute-view" => {
            // SAFETY: not safe at all; that the process dies here is what is tested.
            unsafe { (block.address() as usize as *mut u8).write_volatile(0) }
        }
        "run-write-view" => {
            if views == Views::One {
                let mut block = block;
                let _open = arena.write(&mut block).unwrap();
                call(start);
            }
            call(whole as u64);
        }
        "run-released" => {
            let address = block.address();
            arena.release(block).unwrap();
            call(address);
        }
        other => panic!("{other}"),
    }
    println!("still alive");
}

/// This program again, in the emulator that cargo runs it in, if it does.
fn this_program() -> Command {
    let program = std::env::current_exe().unwrap();
    let runner = match std::env::consts::ARCH {
        "aarch64" => std::env::var("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER"),
        "riscv64" => std::env::var("CARGO_TARGET_RISCV64GC_UNKNOWN_LINUX_GNU_RUNNER"),
        _ => Ok(String::new()),
    };
    let mut words = runner.as_deref().unwrap_or_default().split_whitespace();
    match words.next() {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    }
}

#[test]
fn wrong_accesses_kill_the_process() {
    use system::{ACCESS, TRAP};
    for (what, end) in [
        ("guard-before", ACCESS),
        ("guard-behind", ACCESS),
        ("guard-written-behind", ACCESS),
        ("write-execute-view", ACCESS),
        ("run-write-view", ACCESS),
        ("run-released", TRAP),
    ] {
        for views in VIEWS {
            let views = match views {
                Views::Two => "two",
                Views::One => "one",
            };
            let output = this_program()
                .args(["--exact", "faults_when_told_to", "--nocapture"])
                .env("PATCHJIT_MEMORY_FAULT", format!("{what} {views}"))
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(
                system::end_of(output.status),
                Some(end),
                "{what} {views}: {text}"
            );
        }
    }
}
