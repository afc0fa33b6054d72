//! Compiles the recorder, a library of C that is loaded into the server under test. The workspace forbids unsafe Rust,
//! and standing in for the C library's functions is nothing else.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let (Ok(here), Ok(out)) = (env::var("CARGO_MANIFEST_DIR"), env::var("OUT_DIR")) else {
        return ExitCode::FAILURE;
    };
    let source = PathBuf::from(here).join("shim/recorder.c");
    let library = PathBuf::from(out).join("recorder.so");
    let compiled = cc::Build::new()
        .get_compiler()
        .to_command()
        .args([
            "-std=gnu11",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            "-o",
        ])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rustc-env=RECORDER={}", library.display());
    match compiled {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
