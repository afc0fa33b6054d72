//! How figures are written, and the page that keeps them.

use std::fs;

use anyhow::Context as _;

const PAGE: &str = "BENCHMARKS.md";

/// A table of what was wanted and what was reached.
#[derive(Default)]
pub struct Targets(String);

impl Targets {
    pub fn add(&mut self, target: &str, reached: String, met: bool) {
        let met = if met { "met" } else { "**not met**" };
        self.0.push_str(&format!("| {target} | {reached} | {met} |\n"));
    }

    pub fn table(&self) -> String {
        format!("| target | reached | |\n|---|---:|---|\n{}", self.0)
    }
}

/// A time in the unit that suits it.
pub fn time(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else {
        format!("{:.2} ms", seconds * 1e3)
    }
}

/// CPU seconds a second; nothing where there is no such process.
pub fn cores(used: f64) -> String {
    if used == 0.0 {
        String::new()
    } else {
        format!("{used:.2} cores")
    }
}

/// Puts the figures of a part between its marks on the page.
pub fn write(part: &str, figures: &str) -> anyhow::Result<()> {
    let page = fs::read_to_string(PAGE).with_context(|| format!("{PAGE} cannot be read"))?;
    let (before, _, after) = split(&page, part)?;
    fs::write(PAGE, format!("{before}\n{figures}\n{after}"))?;
    Ok(())
}

/// The figures of a part that the page keeps.
pub fn read(part: &str) -> anyhow::Result<String> {
    let page = fs::read_to_string(PAGE).with_context(|| format!("{PAGE} cannot be read"))?;
    Ok(split(&page, part)?.1.to_owned())
}

/// What is before a part's figures, they themselves, and what is behind; the marks are in the first and the last.
fn split<'p>(page: &'p str, part: &str) -> anyhow::Result<(&'p str, &'p str, &'p str)> {
    let (begin, end) = (
        format!("<!-- {part}: written by `cargo xtask bench --write` -->\n"),
        format!("<!-- {part}: end -->"),
    );
    let lost = || format!("{PAGE} has lost the marks of {part}");
    let from = page.find(&begin).with_context(lost)? + begin.len();
    let (before, rest) = page.split_at_checked(from).with_context(lost)?;
    let (figures, after) = rest
        .split_at_checked(rest.find(&end).with_context(lost)?)
        .with_context(lost)?;
    Ok((before, figures, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_page_is_what_stands_between_its_marks() {
        let page = "a\n<!-- calls: written by `cargo xtask bench --write` -->\nold\n<!-- calls: end -->\nb";
        let (before, figures, after) = split(page, "calls").unwrap();
        assert_eq!(figures, "old\n");
        assert_eq!(format!("{before}{figures}{after}"), page);
        assert!(split(page, "sizes").is_err());
    }
}
