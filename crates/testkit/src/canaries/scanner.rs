//! Looks for secrets in bytes, whatever they were made into.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use flate2::read::GzDecoder;

use super::Canaries;

/// How a gzip member begins (RFC 1952): the magic number, and the one method there is.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes of a gzip member that are looked at.
const INFLATED: u64 = 64 * 1024 * 1024;
/// How deep gzip members are looked at within each other.
const DEPTH: usize = 3;

/// A secret where none may be. It does not show the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// Where.
    pub place: String,
    /// The first byte of it there; in a gzip member, of what it holds.
    pub at: usize,
    /// What it was made into.
    pub form: &'static str,
    /// What it is.
    pub what: String,
}

/// Finds secrets, in either case of letters: as they are, in base64 of both alphabets at every place of a longer text, in
/// hexadecimal, percent-encoded, as escapes of JSON, in UTF-16 of both orders, and all of these in gzip members.
pub struct Scanner {
    automaton: AhoCorasick,
    /// For each pattern: the form, and whose it is.
    patterns: Vec<(&'static str, usize)>,
    names: Vec<String>,
}

impl Scanner {
    /// Of all of these.
    ///
    /// # Errors
    /// Where they are more than can be looked for at once.
    pub fn new(canaries: &Canaries) -> anyhow::Result<Self> {
        let (mut texts, mut patterns) = (Vec::new(), Vec::new());
        for (secret, canary) in canaries.0.iter().enumerate() {
            for piece in &canary.pieces {
                for (form, text) in forms(piece) {
                    texts.push(text);
                    patterns.push((form, secret));
                }
            }
        }
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(texts)?;
        let names = canaries.0.iter().map(|canary| canary.what.clone()).collect();
        Ok(Self {
            automaton,
            patterns,
            names,
        })
    }

    /// The secrets in these bytes, each occurrence.
    pub fn bytes(&self, place: &str, bytes: &[u8]) -> Vec<Leak> {
        let mut leaks = Vec::new();
        self.within(place, bytes, DEPTH, &mut leaks);
        leaks
    }

    fn within(&self, place: &str, bytes: &[u8], depth: usize, leaks: &mut Vec<Leak>) {
        for found in self.automaton.find_overlapping_iter(bytes) {
            let pattern = self.patterns.get(found.pattern().as_usize());
            leaks.extend(pattern.map(|(form, secret)| Leak {
                place: place.to_owned(),
                at: found.start(),
                form,
                what: self.names.get(*secret).cloned().unwrap_or_default(),
            }));
        }
        if depth == 0 {
            return;
        }
        for (at, member) in (0..bytes.len()).filter_map(|at| Some((at, bytes.get(at..)?))) {
            if !member.starts_with(&GZIP) {
                continue;
            }
            let mut inflated = Vec::new();
            // What there is before an error is what it holds.
            _ = GzDecoder::new(member).take(INFLATED).read_to_end(&mut inflated);
            self.within(&format!("{place}, gzip at {at}"), &inflated, depth - 1, leaks);
        }
    }

    /// The secrets in all files below a folder, and in their names. Gives how many bytes that were, too.
    ///
    /// # Errors
    /// Where something there cannot be read.
    pub fn folder(&self, folder: &Path) -> anyhow::Result<(Vec<Leak>, usize)> {
        let (mut leaks, mut read, mut folders) = (Vec::new(), 0, vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            for file in folder.read_dir().with_context(|| format!("{}", folder.display()))? {
                let path = file?.path();
                let place = path.display().to_string();
                leaks.extend(self.bytes("a file's name", place.as_bytes()));
                let kind = fs::symlink_metadata(&path)?.file_type();
                if kind.is_dir() {
                    folders.push(path);
                } else if kind.is_file() {
                    let bytes = fs::read(&path).with_context(|| place.clone())?;
                    read += bytes.len();
                    leaks.extend(self.bytes(&place, &bytes));
                }
            }
        }
        Ok((leaks, read))
    }
}

/// All that a piece of a secret may have been made into.
fn forms(piece: &str) -> Vec<(&'static str, Vec<u8>)> {
    let units: Vec<u16> = piece.encode_utf16().collect();
    let escaped = |unit: &u16| format!("\\u{unit:04x}");
    let percent = |byte: u8| format!("%{byte:02x}");
    let mut forms = vec![
        ("as it is", piece.as_bytes().to_vec()),
        ("hexadecimal", hex(piece.as_bytes()).into_bytes()),
        (
            "percent-encoded",
            piece.bytes().map(percent).collect::<String>().into_bytes(),
        ),
        (
            "escapes of JSON",
            units.iter().map(escaped).collect::<String>().into_bytes(),
        ),
        (
            "UTF-16, low byte first",
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        ),
        (
            "UTF-16, high byte first",
            units.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        ),
    ];
    for before in 0..3 {
        // Whatever stands around a piece has a share in the characters at the ends of its base64.
        let padded = [&vec![0; before], piece.as_bytes()].concat();
        let whole = padded.len() / 3 * 3;
        let padded = padded.get(..whole).unwrap_or_default();
        let first = if before == 0 { 0 } else { before + 1 };
        for (form, engine) in [("base64", &STANDARD_NO_PAD), ("base64 for URLs", &URL_SAFE_NO_PAD)] {
            let encoded = engine.encode(padded).split_off(first);
            forms.push((form, encoded.into_bytes()));
        }
    }
    forms
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::PIECE;
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The secret, and what finds it.
    fn secret() -> (String, Scanner) {
        let mut canaries = Canaries::default();
        let secret = canaries.fresh("a password");
        for number in 0..100 {
            canaries.fresh(&format!("another, {number}"));
        }
        let scanner = Scanner::new(&canaries).unwrap();
        (secret, scanner)
    }

    fn around(encoded: impl AsRef<[u8]>) -> Vec<u8> {
        [
            &b"2026-01-01 {\"level\":\"info\",\"x\":\""[..],
            encoded.as_ref(),
            b"\"}\n",
        ]
        .concat()
    }

    #[track_caller]
    fn is_found(scanner: &Scanner, form: &str, bytes: &[u8]) {
        let leaks = scanner.bytes("here", bytes);
        assert!(
            leaks.iter().any(|leak| leak.form == form && leak.what == "a password"),
            "{form}: {leaks:?}"
        );
    }

    #[test]
    fn a_secret_is_found_in_every_form_and_either_end_of_it_alone() {
        for _ in 0..50 {
            let (secret, scanner) = secret();
            let (start, end) = (&secret[..PIECE], &secret[secret.len() - PIECE..]);
            for text in [secret.as_str(), start, end] {
                is_found(&scanner, "as it is", &around(text));
                is_found(&scanner, "as it is", &around(text.to_uppercase()));
                is_found(&scanner, "as it is", &around(serde_json::to_string(text).unwrap()));
                for before in 0..4 {
                    let within = [&b"\xffabc"[..before], text.as_bytes(), &b"xyz"[..before]].concat();
                    is_found(&scanner, "base64", &around(STANDARD_NO_PAD.encode(&within)));
                    is_found(&scanner, "base64 for URLs", &around(URL_SAFE_NO_PAD.encode(&within)));
                }
                is_found(&scanner, "hexadecimal", &around(hex(text.as_bytes())));
                is_found(&scanner, "hexadecimal", &around(hex(text.as_bytes()).to_uppercase()));
                let percent = |byte: u8| format!("%{byte:02X}");
                is_found(
                    &scanner,
                    "percent-encoded",
                    &around(text.bytes().map(percent).collect::<String>()),
                );
                let escaped = |unit: u16| format!("\\u{unit:04X}");
                let escapes = text.encode_utf16().map(escaped).collect::<String>();
                is_found(&scanner, "escapes of JSON", &around(escapes));
                let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                is_found(&scanner, "UTF-16, low byte first", &around(wide));
                let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
                is_found(&scanner, "UTF-16, high byte first", &around(wide));
            }
        }
    }

    #[test]
    fn a_secret_is_found_in_gzip_members_also_cut_short_and_within_each_other() {
        let (secret, scanner) = secret();
        let member = gzip(&around(hex(secret.as_bytes())));
        is_found(&scanner, "hexadecimal", &around(&member));
        is_found(&scanner, "hexadecimal", &around(gzip(&around(&member))));
        is_found(&scanner, "hexadecimal", &[gzip(b"nothing"), member.clone()].concat());
        is_found(&scanner, "hexadecimal", &member[..member.len() - 8]);
    }

    #[test]
    fn what_holds_no_secret_leaks_nothing_and_a_leak_does_not_show_what_it_found() {
        let (secret, scanner) = secret();
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(1 << 20).collect();
        assert_eq!(scanner.bytes("noise", &noise), []);
        assert_eq!(scanner.bytes("half of it", &secret.as_bytes()[6..PIECE + 6]), []);
        let leaks = scanner.bytes("here", secret.as_bytes());
        assert!(!format!("{leaks:?}").contains(&secret[..PIECE]));
    }

    #[test]
    fn files_are_read_at_any_depth_and_their_names_as_well() {
        let (secret, scanner) = secret();
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("clean"), "nothing").unwrap();
        assert_eq!(scanner.folder(folder.path()).unwrap(), (vec![], 7));
        fs::write(below.join("log"), around(&secret)).unwrap();
        fs::write(below.join(&secret[..PIECE]), "").unwrap();
        let (leaks, _) = scanner.folder(folder.path()).unwrap();
        let found = |name: &str| leaks.iter().any(|leak| leak.place.ends_with(name));
        assert!(found("a/b/log") && found("a file's name"), "{leaks:?}");
    }
}
