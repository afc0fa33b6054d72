//! Tokens that nobody may be let in by, each named for what is wrong with it. All else of each is right.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test cannot go on without its issuer"
)]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use patchbay_core::model::Timestamp;
use serde_json::{Value, json};

use super::{AUDIENCE, By, ISSUER, Issuer, NEUTRAL_SIGNATURE, WEAK_TOKEN, claims, header, seconds};

/// Tokens under their names, with the issuer that makes them.
struct Table<'i> {
    issuer: &'i Issuer,
    now: Timestamp,
    tokens: Vec<(String, String)>,
}

impl Issuer {
    /// Tokens that are wrong in one thing.
    pub fn bad(&self, now: Timestamp) -> Vec<(String, String)> {
        let mut table = Table {
            issuer: self,
            now,
            tokens: Vec::new(),
        };
        table.algorithms();
        table.keys();
        table.headers();
        table.signatures();
        table.claims();
        table.whole_claims();
        table.encodings();
        table.tokens
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An object without one of its members.
fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name);
    object
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

impl Table<'_> {
    fn add(&mut self, name: impl Into<String>, token: impl Into<String>) {
        self.tokens.push((name.into(), token.into()));
    }

    /// With another header, signed as it should be.
    fn header(&mut self, name: impl Into<String>, header: impl ToString) {
        let token = self
            .issuer
            .sign(By::Es256, header.to_string(), claims(self.now).to_string());
        self.add(name, token);
    }

    /// With other claims, signed as it should be.
    fn claim(&mut self, name: impl Into<String>, claims: impl ToString) {
        let token = self.issuer.sign(By::Es256, header().to_string(), claims.to_string());
        self.add(name, token);
    }

    /// The right token.
    fn right(&self, by: By) -> String {
        let header = json!({ "alg": by.algorithm(), "kid": by.key_id() });
        self.issuer.sign(by, header.to_string(), claims(self.now).to_string())
    }

    fn algorithms(&mut self) {
        for none in ["none", "None", "NONE", "nOnE"] {
            let header = json!({ "alg": none, "kid": "p256" }).to_string();
            let message = format!("{}.{}", encode(&header), encode(claims(self.now).to_string()));
            self.add(format!("alg {none} without a signature"), format!("{message}."));
            self.header(format!("alg {none} with a signature"), header);
        }
        for wrong in [
            "RS384",
            "RS512",
            "PS384",
            "PS512",
            "ES384",
            "ES512",
            "ES256K",
            "HS256",
            "HS384",
            "HS512",
            "Ed448",
            "es256",
            "ES256 ",
            " ES256",
            "ES256\u{0}",
            "A128KW",
            "dir",
            "RSA-OAEP",
            "",
        ] {
            self.header(format!("alg {wrong:?}"), with(header(), "alg", json!(wrong)));
        }
        for wrong in [
            json!(null),
            json!(256),
            json!(true),
            json!(["ES256"]),
            json!({ "alg": "ES256" }),
        ] {
            self.header(format!("alg {wrong}"), with(header(), "alg", wrong));
        }
        self.header("no alg", without(header(), "alg"));
        // An HMAC whose secret is the public key, as it may be held by a verifier that trusts `alg`.
        let [rsa, p256, _] = self.issuer.public();
        let text = |jwk: &Value, name: &str| jwk[name].as_str().expect("a text").to_owned();
        let bytes = |jwk: &Value, name: &str| URL_SAFE_NO_PAD.decode(text(jwk, name)).expect("base64url");
        for (name, secret) in [
            ("the modulus", bytes(&rsa, "n")),
            ("the modulus in base64url", text(&rsa, "n").into_bytes()),
            ("the JWK", rsa.to_string().into_bytes()),
            ("the point", [vec![4], bytes(&p256, "x"), bytes(&p256, "y")].concat()),
            ("the point's x in base64url", text(&p256, "x").into_bytes()),
            ("nothing", Vec::new()),
            ("the oct key of the set", b"secret".to_vec()),
        ] {
            for key_id in ["rsa", "p256", "shared"] {
                let header = json!({ "alg": "HS256", "kid": key_id }).to_string();
                let message = format!("{}.{}", encode(header), encode(claims(self.now).to_string()));
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
                let signature = encode(ring::hmac::sign(&key, message.as_bytes()));
                self.add(
                    format!("HMAC by {name} under {key_id}"),
                    format!("{message}.{signature}"),
                );
            }
        }
    }

    fn keys(&mut self) {
        let claims = claims(self.now).to_string();
        // Each algorithm under each key's id, but where both fit.
        for by in By::ALL {
            for key_id in ["rsa", "p256", "ed25519"] {
                for algorithm in By::ALL.map(By::algorithm) {
                    let fits = by.algorithm() == algorithm && by.key_id() == key_id;
                    if !fits {
                        let header = json!({ "alg": algorithm, "kid": key_id }).to_string();
                        let token = self.issuer.sign(by, header, &claims);
                        self.add(format!("{algorithm} and {key_id}, signed by {}", by.algorithm()), token);
                    }
                }
            }
        }
        for (by, key_id) in [
            (By::Rs256, "for-ps256"),
            (By::Rs256, "for-rs512"),
            (By::Rs256, "for-encryption"),
            (By::Ps256, "for-encryption"),
            (By::Rs256, "for-wrapping"),
            (By::Es256, "for-agreement"),
            (By::Es256, "unknown"),
            (By::Es256, ""),
            (By::Es256, "P256"),
            (By::Es256, "p256 "),
            (By::Es256, "../p256"),
            (By::Es256, "p256' or '1'='1"),
        ] {
            let header = json!({ "alg": by.algorithm(), "kid": key_id }).to_string();
            self.add(
                format!("{} under {key_id:?}", by.algorithm()),
                self.issuer.sign(by, header, &claims),
            );
        }
        for wrong in [json!(null), json!(1), json!(["p256"]), json!({ "kid": "p256" })] {
            self.header(format!("kid {wrong}"), with(header(), "kid", wrong));
        }
        self.header("no kid, and several keys for its alg", without(header(), "kid"));
        self.add("signed by a key of 1,024 bits", WEAK_TOKEN);
        let neutral = json!({ "alg": "EdDSA", "kid": "neutral" }).to_string();
        let message = format!("{}.{}", encode(neutral), encode(&claims));
        self.add(
            "signed for a point that anybody can sign for",
            format!("{message}.{}", encode(NEUTRAL_SIGNATURE)),
        );
        let attacker = Issuer::other();
        for by in By::ALL {
            let header = json!({ "alg": by.algorithm(), "kid": by.key_id() }).to_string();
            let token = attacker.sign(by, header, &claims);
            self.add(format!("{} by another issuer's key", by.algorithm()), token);
        }
        let [_, p256, _] = attacker.public();
        for (name, parameter, value) in [
            ("brings its key", "jwk", p256.clone()),
            (
                "brings its key's address",
                "jku",
                json!("https://attacker.example/jwks"),
            ),
            ("brings its certificate", "x5c", json!(["MIIB"])),
            (
                "brings its certificate's address",
                "x5u",
                json!("https://attacker.example/x5u"),
            ),
        ] {
            for header in [
                header(),
                without(header(), "kid"),
                with(header(), "kid", json!("attacker")),
            ] {
                let key_id = header["kid"].clone();
                let header = with(header, parameter, value.clone()).to_string();
                let token = attacker.sign(By::Es256, header, &claims);
                self.add(format!("{name}, kid {key_id}"), token);
            }
        }
    }

    fn headers(&mut self) {
        for crit in [json!([]), json!(["exp"]), json!(["b64"]), json!(null), json!("exp")] {
            self.header(format!("crit {crit}"), with(header(), "crit", crit));
        }
        self.header(
            "an unencoded payload",
            with(with(header(), "b64", json!(false)), "crit", json!(["b64"])),
        );
        for typ in ["secevent+jwt", "logout+jwt", "dpop+jwt", "JWE", "JOSE", ""] {
            self.header(format!("typ {typ:?}"), with(header(), "typ", json!(typ)));
        }
        for typ in [json!(null), json!(1), json!(["JWT"])] {
            self.header(format!("typ {typ}"), with(header(), "typ", typ));
        }
        for (name, header) in [
            (
                "alg twice, the right one last",
                "{\"alg\":\"none\",\"alg\":\"ES256\",\"kid\":\"p256\"}",
            ),
            (
                "alg twice, the right one first",
                "{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"p256\"}",
            ),
            (
                "alg twice, alike",
                "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"p256\"}",
            ),
            (
                "alg twice, once escaped",
                "{\"alg\":\"ES256\",\"\\u0061lg\":\"none\",\"kid\":\"p256\"}",
            ),
            ("kid twice", "{\"alg\":\"ES256\",\"kid\":\"p256\",\"kid\":\"p256\"}"),
            (
                "an unknown parameter twice",
                "{\"alg\":\"ES256\",\"kid\":\"p256\",\"x\":1,\"x\":1}",
            ),
            ("a header in an array", "[{\"alg\":\"ES256\",\"kid\":\"p256\"}]"),
            ("a header that is a text", "\"ES256\""),
            ("a header that is null", "null"),
            ("no header", ""),
            ("an empty header", "{}"),
            (
                "a header with a byte-order mark",
                "\u{feff}{\"alg\":\"ES256\",\"kid\":\"p256\"}",
            ),
            (
                "a header with something behind it",
                "{\"alg\":\"ES256\",\"kid\":\"p256\"}{}",
            ),
            ("a header with a comment", "{\"alg\":\"ES256\",/**/\"kid\":\"p256\"}"),
            ("a header in other quotes", "{'alg':'ES256','kid':'p256'}"),
            ("a header cut short", "{\"alg\":\"ES256\",\"kid\":\"p256\""),
        ] {
            self.header(name, header);
        }
    }

    fn signatures(&mut self) {
        for by in By::ALL {
            let right = self.right(by);
            let (message, signature) = right.rsplit_once('.').expect("a signature");
            let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
            let mut flipped = signature.clone();
            flipped[0] ^= 0x80;
            let mut last = signature.clone();
            *last.last_mut().expect("a byte") ^= 1;
            let swapped = [&signature[signature.len() / 2..], &signature[..signature.len() / 2]].concat();
            for (name, signature) in [
                ("no signature", Vec::new()),
                ("a signature cut short", signature[..signature.len() - 1].to_vec()),
                ("a signature with a byte more", [&signature[..], &[0]].concat()),
                ("a signature with a zero before it", [&[0], &signature[..]].concat()),
                ("a signature with its first bit flipped", flipped),
                ("a signature with its last bit flipped", last),
                ("a signature with its halves swapped", swapped),
                ("a signature of zeros", vec![0; signature.len()]),
                ("a signature of ones", vec![0xff; signature.len()]),
                (
                    "the signature of something else",
                    self.issuer.signature(by, b"something else"),
                ),
                ("the signature twice", signature.repeat(2)),
            ] {
                self.add(
                    format!("{}: {name}", by.algorithm()),
                    format!("{message}.{}", encode(signature)),
                );
            }
            let claims = with(claims(self.now), "sub", json!("root")).to_string();
            let (header, _) = message.split_once('.').expect("claims");
            let changed = format!("{header}.{}.{}", encode(claims), encode(&signature));
            self.add(format!("{}: other claims under the signature", by.algorithm()), changed);
        }
        // ES256 signatures are r and s, not what X.509 makes of them.
        let right = self.right(By::Es256);
        let (message, signature) = right.rsplit_once('.').expect("a signature");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let integer = |half: &[u8]| {
            let sign = if half[0] >= 0x80 { &[0][..] } else { &[] };
            let bytes = [sign, half].concat();
            [&[2, u8::try_from(bytes.len()).expect("short")], &bytes[..]].concat()
        };
        let pair = [integer(&signature[..32]), integer(&signature[32..])].concat();
        let der = [&[0x30, u8::try_from(pair.len()).expect("short")], &pair[..]].concat();
        self.add("ES256: a signature in DER", format!("{message}.{}", encode(der)));
    }

    fn claims(&mut self) {
        let now = seconds(self.now);
        let right = claims(self.now);
        for name in ["iss", "aud", "exp", "sub", "tenant"] {
            self.claim(format!("no {name}"), without(right.clone(), name));
            for wrong in [
                json!(null),
                json!(true),
                json!({}),
                json!([]),
                json!([[AUDIENCE]]),
                json!(""),
            ] {
                self.claim(format!("{name} {wrong}"), with(right.clone(), name, wrong));
            }
        }
        let long = "a".repeat(256);
        for (name, wrong) in [
            ("iss", json!([ISSUER])),
            ("iss", json!(format!("{ISSUER}/"))),
            ("iss", json!(ISSUER.to_uppercase())),
            ("iss", json!(ISSUER.replace("https", "http"))),
            ("iss", json!("https://issuer.example.attacker.example")),
            ("iss", json!("https://issuer.exampl")),
            ("iss", json!(format!(" {ISSUER}"))),
            ("aud", json!("Patchbay")),
            ("aud", json!("patchba")),
            ("aud", json!("patchbay ")),
            ("aud", json!("other patchbay")),
            ("aud", json!(["other"])),
            ("aud", json!([AUDIENCE, 1])),
            ("aud", json!([AUDIENCE, null])),
            ("aud", json!({ "0": AUDIENCE })),
            ("aud", json!(1)),
            ("exp", json!(now - 61)),
            ("exp", json!(now - 3600)),
            ("exp", json!(0)),
            ("exp", json!(-1)),
            ("exp", json!((now + 3600).to_string())),
            ("exp", json!([now + 3600])),
            ("nbf", json!(now + 3600)),
            ("nbf", json!((now - 60).to_string())),
            ("nbf", json!(null)),
            ("iat", json!(now + 3600)),
            ("iat", json!((now - 60).to_string())),
            ("iat", json!(null)),
            ("sub", json!(7)),
            ("sub", json!(["ann"])),
            ("sub", json!(" ann")),
            ("sub", json!("ann\n")),
            ("sub", json!("an\u{0}n")),
            ("sub", json!(long)),
            ("tenant", json!(7)),
            ("tenant", json!(["acme"])),
            ("tenant", json!("acme\t")),
            ("tenant", json!(&long[..129])),
        ] {
            self.claim(format!("{name} {wrong}"), with(right.clone(), name, wrong));
        }
        for wrong in [
            json!(7),
            json!(["ann@acme.example"]),
            json!(""),
            json!(null),
            json!(long),
        ] {
            let claims = with(
                with(right.clone(), "email_verified", json!(true)),
                "email",
                wrong.clone(),
            );
            self.claim(format!("a verified email {wrong}"), claims);
        }
    }

    fn whole_claims(&mut self) {
        let right = claims(self.now).to_string();
        let members = &right[1..right.len() - 1];
        for (name, claims) in [
            ("sub twice", format!("{{\"sub\":\"root\",{members}}}")),
            ("sub twice, alike", format!("{{\"sub\":\"ann\",{members}}}")),
            (
                "sub twice, once escaped",
                format!("{{{members},\"s\\u0075b\":\"root\"}}"),
            ),
            ("exp twice", format!("{{{members},\"exp\":99999999999}}")),
            (
                "a name twice inside a claim",
                format!("{{{members},\"x\":{{\"a\":[{{\"b\":1,\"b\":1}}]}}}}"),
            ),
            (
                "an exp beyond all numbers",
                right.replace("\"exp\":", "\"exp\":1e400,\"x\":"),
            ),
            (
                "an exp that is not a number in JSON",
                right.replace("\"exp\":", "\"exp\":NaN,\"x\":"),
            ),
            ("an exp with a leading zero", right.replace("\"exp\":", "\"exp\":0")),
            ("claims in an array", format!("[{right}]")),
            ("claims that are a text", json!(right).to_string()),
            ("claims that are a number", "1".to_owned()),
            ("claims that are null", "null".to_owned()),
            ("no claims", String::new()),
            ("empty claims", "{}".to_owned()),
            ("claims with a byte-order mark", format!("\u{feff}{right}")),
            ("claims with something behind them", format!("{right}{right}")),
            ("claims with a comma too many", format!("{{{members},}}")),
            ("claims cut short", right[..right.len() - 1].to_owned()),
            (
                "claims nested without end",
                format!("{{{members},\"x\":{}{}}}", "[".repeat(4000), "]".repeat(4000)),
            ),
            ("a token in the token", self.right(By::Es256)),
            (
                "claims that make it longer than 16 KiB",
                format!("{{{members},\"x\":\"{}\"}}", "x".repeat(12 * 1024)),
            ),
        ] {
            self.claim(name, claims);
        }
        let latin = [&right.as_bytes()[..right.len() - 1], b",\"x\":\"\xe9\"}"].concat();
        let token = self.issuer.sign(By::Es256, header().to_string(), latin);
        self.add("claims that are not UTF-8", token);
        let wide: Vec<u8> = right.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let token = self.issuer.sign(By::Es256, header().to_string(), wide);
        self.add("claims in UTF-16", token);
    }

    fn encodings(&mut self) {
        let token = self.right(By::Es256);
        let parts: Vec<_> = token.split('.').collect();
        let [head, payload, signature] = parts[..] else { return };
        let sign = |message: String| {
            let signature = encode(self.issuer.signature(By::Es256, message.as_bytes()));
            format!("{message}.{signature}")
        };
        // Runs of these have both of the characters in which the alphabets differ, wherever they stand.
        let with_runs = with(claims(self.now), "x", json!("?????>>>>>"));
        let standard = STANDARD_NO_PAD.encode(with_runs.to_string());
        assert!(standard.contains('+') && standard.contains('/'), "{standard}");
        // White space is of no matter in JSON, so that only the padding is wrong.
        let padded = |object: &Value| {
            let mut text = object.to_string();
            while text.len() % 3 != 1 {
                text.push(' ');
            }
            URL_SAFE.encode(text)
        };
        let (padded_head, padded_claims) = (padded(&header()), padded(&claims(self.now)));
        let trailing = |text: &str| {
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let (body, last) = text.split_at(text.len() - 1);
            let place = alphabet.find(last).expect("base64url");
            format!("{body}{}", &alphabet[place + 1..=place + 1])
        };
        let tokens = [
            ("padding behind the signature", format!("{token}==")),
            (
                "padding behind the claims, signed",
                sign(format!("{head}.{padded_claims}")),
            ),
            (
                "padding behind the header, signed",
                sign(format!("{padded_head}.{payload}")),
            ),
            ("the standard alphabet, signed", sign(format!("{head}.{standard}"))),
            (
                "bits behind the signature's end",
                format!("{head}.{payload}.{}", trailing(signature)),
            ),
            ("an empty text", String::new()),
            ("a dot", ".".to_owned()),
            ("two dots", "..".to_owned()),
            ("three dots", "...".to_owned()),
            ("one part", head.to_owned()),
            ("two parts", format!("{head}.{payload}")),
            ("no header, signed", sign(format!(".{payload}"))),
            ("no claims, signed", sign(format!("{head}."))),
            ("four parts", format!("{token}.{signature}")),
            (
                "five parts, as if it were encrypted",
                format!("{token}.{payload}.{signature}"),
            ),
            ("a dot before it", format!(".{token}")),
            ("a dot behind it", format!("{token}.")),
            ("parts in another order", format!("{payload}.{head}.{signature}")),
            ("a percent sign for a dot", token.replace('.', "%2E")),
            ("a space inside", format!("{head}. {payload}.{signature}")),
            ("a quoted token", format!("\"{token}\"")),
            ("two tokens", format!("{token} {token}")),
            ("two tokens between a comma", format!("{token},{token}")),
            ("the scheme twice", format!("Bearer {token}")),
            ("encoded twice", encode(&token)),
            (
                "in JSON",
                json!({ "protected": head, "payload": payload, "signature": signature }).to_string(),
            ),
            (
                "a Patchbay token of another home",
                format!("patchbay_{}", "A".repeat(48)),
            ),
            ("the prefix of Patchbay's tokens before it", format!("patchbay_{token}")),
            ("null", "null".to_owned()),
            (
                "what the Python SDK sends in its tests",
                "definitely_an_access_token".to_owned(),
            ),
            ("16 KiB of dots", ".".repeat(16 * 1024)),
            ("one character too many", "a".repeat(16 * 1024 + 1)),
        ];
        for (name, token) in tokens {
            self.add(name, token);
        }
    }
}
