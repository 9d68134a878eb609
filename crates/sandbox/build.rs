//! Compiles `init/`: a static program without a C library, so that it runs in the root of any tool. Cargo has no way to
//! make a program of another kind in the middle of a library, so the compiler is asked directly.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=init");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var_os(name).ok_or_else(|| format!("expected cargo to set {name}"));
    let program = PathBuf::from(variable("OUT_DIR")?).join("scan-init");
    let mut compiler = Command::new(variable("RUSTC")?);
    compiler.args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "scan_init", "init/main.rs"]);
    compiler.arg("--target").arg(variable("TARGET")?).arg("-o").arg(&program);
    for option in [
        "opt-level=s",
        "panic=abort",
        "relocation-model=static",
        "strip=symbols",
        "link-arg=-nostartfiles",
        "link-arg=-nostdlib",
        "link-arg=-static",
        "link-arg=-Wl,--build-id=none",
        // Nothing unwinds here; the core library was made for programs that do.
        "link-arg=-Wl,--defsym=rust_eh_personality=0",
    ] {
        compiler.args(["-C", option]);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = OsString::from("linker=");
        option.push(linker);
        compiler.arg("-C").arg(option);
    }
    match compiler.status()?.success() {
        true => Ok(()),
        false => Err("cannot compile init/main.rs".into()),
    }
}
