//! The engine around the target that `FUZZ_TARGET` names; without `--cfg fuzzing`, runs it once for each file given.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod engine {
    #![allow(clippy::expect_used, reason = "without a target there is nothing to run")]

    use std::sync::LazyLock;

    static CHOSEN: LazyLock<fn(&[u8])> = LazyLock::new(|| patchbay_fuzz::chosen().expect("a target"));

    libfuzzer_sys::fuzz_target!(|data: &[u8]| CHOSEN(data));
}

#[cfg(not(fuzzing))]
fn main() -> anyhow::Result<()> {
    let check = patchbay_fuzz::chosen()?;
    for file in std::env::args_os().skip(1) {
        check(&std::fs::read(file)?);
    }
    Ok(())
}
