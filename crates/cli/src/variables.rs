//! `PATCHBAY_*` variables.

/// Refuses variables that nothing reads: a misspelt one must not be ignored.
///
/// # Errors
/// Names the first such variable.
pub fn refuse_unknown(known: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    // The development tools' cache folder.
    const TOOLS: &str = "PATCHBAY_CACHE";
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        anyhow::ensure!(
            !name.starts_with("PATCHBAY_") || name == TOOLS || known(&name),
            "{name} is not a setting of Patchbay"
        );
    }
    Ok(())
}
