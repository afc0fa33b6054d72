//! A line of the trail.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use super::Link;

/// What stands before a line's hash, and what after it.
const HASH: &str = ",\"hash\":\"";
const END: &str = "\"}\n";
/// Bytes from there to the end of a line.
const TAIL: usize = HASH.len() + 64 + END.len();

/// A line that was read, and is whole in itself. Whether it follows another is to be seen by its number and `previous`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'l> {
    pub(super) previous: [u8; 32],
    pub(super) row: Option<i64>,
    /// The record's JSON.
    pub(super) record: &'l str,
    /// Itself.
    pub(super) link: Link,
}

impl Link {
    /// Writes the line that follows, and gives what it is known by.
    pub(super) fn write(self, row: Option<i64>, record: &str, to: &mut Vec<u8>) -> Self {
        let (begin, number) = (to.len(), self.number + 1);
        // Writing into memory cannot fail.
        _ = write!(to, "{{\"number\":{number},\"previous\":\"{}\"", Hex(&self.hash));
        if let Some(row) = row {
            _ = write!(to, ",\"row\":{row}");
        }
        _ = write!(to, ",\"record\":{record}");
        let hash: [u8; 32] = Sha256::digest(to.get(begin..).unwrap_or_default()).into();
        _ = write!(to, "{HASH}{}{END}", Hex(&hash));
        Self { number, hash }
    }

    /// Whether these are the last bytes of its line.
    pub(super) fn ends(self, bytes: &[u8]) -> bool {
        let tail = bytes.len().checked_sub(TAIL).and_then(|from| bytes.get(from..));
        tail == Some(format!("{HASH}{}{END}", Hex(&self.hash)).as_bytes())
    }

    /// How many bytes [`Link::ends`] looks at.
    pub(super) const ENDS_BYTES: u64 = TAIL as u64;
}

impl<'l> Line<'l> {
    /// Takes a line with its line feed, if it is just as [`Link::write`] writes one.
    pub(super) fn read(line: &'l [u8]) -> Option<Self> {
        let (hashed, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
        let hash: [u8; 32] = Sha256::digest(hashed).into();
        let number = std::str::from_utf8(hashed).ok()?.strip_prefix("{\"number\":")?;
        let (number, rest) = number.split_once(",\"previous\":\"")?;
        let (previous, rest) = rest.split_at_checked(64)?;
        let rest = rest.strip_prefix("\",")?;
        let (row, rest) = match rest.strip_prefix("\"row\":") {
            Some(row) => {
                let (row, rest) = row.split_once(',')?;
                (Some(row.parse().ok()?), rest)
            }
            None => (None, rest),
        };
        let link = Link {
            number: number.parse().ok()?,
            hash,
        };
        link.ends(tail).then_some(Self {
            previous: hex::FromHex::from_hex(previous).ok()?,
            row,
            record: rest.strip_prefix("\"record\":")?,
            link,
        })
    }
}

/// Shows bytes as lower-case digits.
struct Hex<'b>(&'b [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut digits = [0; 64];
        let digits = digits.get_mut(..2 * self.0.len()).ok_or(std::fmt::Error)?;
        hex::encode_to_slice(self.0, digits).map_err(|_| std::fmt::Error)?;
        f.write_str(std::str::from_utf8(digits).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_the_documentation_says() {
        let mut lines = Vec::new();
        let one = Link::default().write(None, "{\"a\":1}", &mut lines);
        let hashed = format!(
            "{{\"number\":1,\"previous\":\"{}\",\"record\":{{\"a\":1}}",
            "0".repeat(64)
        );
        let hash = hex::encode(Sha256::digest(&hashed));
        let expected = format!("{hashed},\"hash\":\"{hash}\"}}\n");
        assert_eq!(String::from_utf8(lines.clone()).unwrap(), expected);
        let read = Line::read(&lines).unwrap();
        assert_eq!((read.link, read.row, read.record), (one, None, "{\"a\":1}"));
        assert!(read.previous == [0; 32] && one.ends(&lines));

        let mut next = Vec::new();
        let two = one.write(Some(9), "{}", &mut next);
        let read = Line::read(&next).unwrap();
        assert_eq!((read.link, read.row, read.previous), (two, Some(9), one.hash));
        assert!(two.ends(&next) && !one.ends(&next));
    }

    #[test]
    fn a_line_with_any_byte_changed_is_none() {
        let mut line = Vec::new();
        Link::default().write(Some(7), "{\"name\":\"x\"}", &mut line);
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(Line::read(&changed), None, "byte {at}, bit {bit}");
            }
            assert_eq!(Line::read(&line[..at]), None);
        }
        assert!(Line::read(&line).is_some());
    }
}
