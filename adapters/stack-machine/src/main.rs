//! Prints what compiling the ten loops brings: `cargo run --release -p patchjit-worked-host [-- NAME...]`. With `--show` in front
//! of the names: their traces, as recorded and as optimized.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod table;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    match names.split_first() {
        Some((first, names)) if first == "--show" => table::show(names),
        _ => table::print(&names),
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {
    eprintln!("the tables are made on x86-64 Linux only");
}
