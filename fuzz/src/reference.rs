//! A second reader of JSON (RFC 8259), written from the grammar and sharing nothing with the first.

/// A JSON object.
pub(crate) struct Object<'t> {
    /// Its own members in order: the name, which is none where it is no Unicode, and the value as it is written.
    pub(crate) members: Vec<(Option<String>, &'t str)>,
    /// Levels of nesting, its own included.
    pub(crate) depth: usize,
    /// Whether a name stands twice in one object, at any level.
    pub(crate) repeats: bool,
}

impl<'t> Object<'t> {
    /// The object that this text is.
    pub(crate) fn read(text: &'t str) -> Option<Self> {
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
            deepest: 0,
            repeats: false,
        };
        reader.space();
        let members = reader.object()?;
        reader.space();
        (reader.at == text.len()).then_some(Self {
            members,
            depth: reader.deepest,
            repeats: reader.repeats,
        })
    }

    /// A member's value, as it is written.
    pub(crate) fn get(&self, name: &str) -> Option<&'t str> {
        let found = self.members.iter().find(|(own, _)| own.as_deref() == Some(name));
        found.map(|(_, value)| *value)
    }
}

/// The text that a JSON string stands for, if it is one and all of it is Unicode.
pub(crate) fn string(json: &str) -> Option<String> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    let (mut units, mut characters) = (Vec::new(), inner.chars());
    while let Some(character) = characters.next() {
        if character != '\\' {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match characters.next()? {
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'u' => u16::from_str_radix(&characters.by_ref().take(4).collect::<String>(), 16).ok()?,
            plain => u16::try_from(u32::from(plain)).ok()?,
        });
    }
    String::from_utf16(&units).ok()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    deepest: usize,
    repeats: bool,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek() == Some(wanted)).then(|| self.at += 1)
    }

    /// Takes as many of these as there are; says how many.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> usize {
        let before = self.at;
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
        self.at - before
    }

    fn space(&mut self) {
        self.run(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn value(&mut self) -> Option<&'t str> {
        let before = self.at;
        match self.peek()? {
            b'{' => _ = self.object()?,
            b'[' => self.array()?,
            b'"' => _ = self.string()?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => self.number()?,
        }
        self.text.get(before..self.at)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text
            .get(self.at..)?
            .starts_with(word)
            .then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        _ = self.take(b'-');
        let zero = self.peek() == Some(b'0');
        let digits = self.run(|byte| byte.is_ascii_digit());
        if digits == 0 || (zero && digits > 1) {
            return None;
        }
        if self.take(b'.').is_some() && self.run(|byte| byte.is_ascii_digit()) == 0 {
            return None;
        }
        if self.take(b'e').or_else(|| self.take(b'E')).is_some() {
            _ = self.take(b'+').or_else(|| self.take(b'-'));
            if self.run(|byte| byte.is_ascii_digit()) == 0 {
                return None;
            }
        }
        Some(())
    }

    fn string(&mut self) -> Option<&'t str> {
        let before = self.at;
        self.take(b'"')?;
        loop {
            self.run(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
            if self.take(b'"').is_some() {
                return self.text.get(before..self.at);
            }
            self.take(b'\\')?;
            let escape = self.peek()?;
            self.at += 1;
            match escape {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then(|| self.at += 4)?;
                }
                _ => return None,
            }
        }
    }

    /// What stands between two brackets and commas.
    fn list(&mut self, [open, close]: [u8; 2], mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        self.space();
        if self.take(close).is_none() {
            loop {
                item(self)?;
                self.space();
                if self.take(close).is_some() {
                    break;
                }
                self.take(b',')?;
                self.space();
            }
        }
        self.depth -= 1;
        Some(())
    }

    fn array(&mut self) -> Option<()> {
        self.list(*b"[]", |reader| reader.value().map(|_| ()))
    }

    fn object(&mut self) -> Option<Vec<(Option<String>, &'t str)>> {
        let mut members = Vec::new();
        self.list(*b"{}", |reader| {
            let name = string(reader.string()?);
            reader.space();
            reader.take(b':')?;
            reader.space();
            let value = reader.value()?;
            reader.repeats |= members.iter().any(|(other, _)| *other == name);
            members.push((name, value));
            Some(())
        })?;
        Some(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_into_its_members_as_written() {
        let object = Object::read(" {\"a\" : [1.0e-5,{\"b\":\"\\u00e9\\/\"}], \"c\":null} ").unwrap();
        assert_eq!(object.get("a"), Some("[1.0e-5,{\"b\":\"\\u00e9\\/\"}]"));
        assert_eq!(object.get("c"), Some("null"));
        assert_eq!((object.depth, object.repeats), (3, false));
        assert!(Object::read("{\"a\":{\"b\":1,\"\\u0062\":1}}").unwrap().repeats);
        for wrong in [
            "",
            "[]",
            "{}{}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":\"\n\"}",
            "{\"a\":1,}",
            "{a:1}",
        ] {
            assert!(Object::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_string_stands_for_its_text_unless_half_a_pair_is_missing() {
        assert_eq!(string("\"\\ud83d\\ude00\\n\\/x\""), Some("\u{1f600}\n/x".into()));
        assert_eq!(string("\"\\ud83d\""), None);
        assert_eq!(string("7"), None);
    }
}
