//! The kernels as native code: a yardstick.
//!
//! Takes their source and a level of optimization; the compiler is `$CLANG`, or `clang-19`, as for the modules. Nothing is left behind.

use crate::KERNELS;
use libloading::Library;
use std::path::Path;
use std::process::Command;

/// A shared library of the kernels.
pub struct Native {
    library: Library,
    /// Where it stands as long as it is open.
    _directory: tempfile::TempDir,
}

impl Native {
    /// Compiles the source.
    ///
    /// # Errors
    ///
    /// If there is no compiler, or it refuses the source.
    pub fn new(source: &Path, level: &str) -> Result<Native, String> {
        let compiler = std::env::var("CLANG").unwrap_or_else(|_| "clang-19".to_owned());
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = directory.path().join("kernels.so");
        let status = Command::new(&compiler)
            .args(["-shared", "-fPIC", "-w", "-ffp-contract=off", level, "-o"])
            .args([&path, source])
            .status()
            .map_err(|error| format!("{compiler}: {error}"))?;
        if !status.success() {
            return Err(format!("{compiler} {level}: {status}"));
        }
        // SAFETY: the library is the kernels', which do nothing when they are loaded.
        let library = unsafe { Library::new(&path) }.map_err(|error| error.to_string())?;
        Ok(Native {
            library,
            _directory: directory,
        })
    }

    /// Calls a kernel and gives the bits of its result.
    ///
    /// # Errors
    ///
    /// If there is none of this name.
    pub fn call(&self, name: &str, size: i32) -> Result<u64, String> {
        let kernel = KERNELS.iter().find(|kernel| kernel.name == name);
        let kernel = kernel.ok_or_else(|| format!("`{name}` is no kernel"))?;
        // SAFETY: the source declares the function so: an `int` goes in, and a `double` or 32 bits come out.
        unsafe {
            if kernel.is_float {
                let function = self
                    .library
                    .get::<unsafe extern "C" fn(i32) -> f64>(name.as_bytes());
                let function = function.map_err(|error| error.to_string())?;
                Ok(function(size).to_bits())
            } else {
                let function = self
                    .library
                    .get::<unsafe extern "C" fn(i32) -> u32>(name.as_bytes());
                let function = function.map_err(|error| error.to_string())?;
                Ok(function(size).into())
            }
        }
    }
}
