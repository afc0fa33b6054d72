//! Canaries: secrets that are known when they are seen, passed through a home in every way, and then looked for wherever
//! none of them may be.

mod callers;
mod flight;
mod planted;
mod scanner;
mod vain;
mod wrong;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use callers::Callers;
pub use flight::{Flight, Landed};
pub use planted::{missed, was_planted};
pub use scanner::{Leak, Scanner};

/// Characters of a secret that are looked for together: as many as are found nowhere by chance.
const PIECE: usize = 12;

/// Secrets that were given out, and what each was.
#[derive(Debug, Default)]
pub struct Canaries(Vec<Secret>);

struct Secret {
    what: String,
    /// Both ends of it: a part of a secret that got out is found as well.
    pieces: [String; 2],
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl Canaries {
    /// A new secret: random letters and digits, around characters that JSON or a URL has to escape.
    pub fn fresh(&mut self, what: &str) -> String {
        let piece = || String::from_iter(std::iter::repeat_with(fastrand::alphanumeric).take(PIECE));
        let secret = format!("{}\"\\/+é&={}", piece(), piece());
        self.add(what, &secret);
        secret
    }

    /// A new token, of which no header is too good.
    pub fn fresh_token(&mut self, what: &str) -> String {
        let token = URL_SAFE_NO_PAD.encode(std::array::from_fn::<u8, 24, _>(|_| fastrand::u8(..)));
        self.add(what, &token);
        token
    }

    /// Counts a text among the secrets: the characters at both of its ends are looked for. Where it has not twice as many
    /// as are looked for together it is no secret that could be told from chance, and is left out.
    pub fn add(&mut self, what: &str, secret: &str) {
        let characters: Vec<char> = secret.chars().collect();
        if characters.len() < 2 * PIECE {
            return;
        }
        let (start, end) = (characters.iter().take(PIECE), characters.iter().rev().take(PIECE).rev());
        self.0.push(Secret {
            what: what.to_owned(),
            pieces: [start.collect(), end.collect()],
        });
    }

    /// Counts a JSON Web Token among the secrets: the end of its claims, and its signature.
    pub fn add_jwt(&mut self, what: &str, token: &str) {
        // Its header is the same in all of its kind, and claims begin alike.
        for (part, text) in token.split('.').skip(1).enumerate() {
            let end = text.len().saturating_sub(2 * PIECE);
            self.add(
                &format!("{what}, part {}", part + 2),
                text.get(end..).unwrap_or_default(),
            );
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
