//! The JSON shapes, in and out.
//!
//! A body is taken apart into its own fields' raw text, and only then is each field read: what stands inside `details`
//! is never built into a tree, and goes out as the bytes that came in.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::limits;
use crate::model::{
    ConnectionId, ConnectionType, Details, Invalid, Member, Name, Person, Role, Subject, Workspace, WorkspaceId,
};
use crate::problem::Problem;
use crate::store::Seen;

/// Characters of an unknown field's name that an error repeats.
const FIELD_SHOWN: usize = 64;

/// A body's fields by name, null and absent ones left out.
#[derive(Debug)]
pub(crate) struct Fields<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Takes a body apart that is one JSON object with no other fields than `known`, each at most once.
    pub(crate) fn parse(body: &'a [u8], known: &[&'static str]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(body).map_err(|_| Problem::bad("The body must be JSON in UTF-8."))?;
        if text.starts_with('\u{feff}') {
            return Err(Problem::bad("The body must not begin with a byte-order mark."));
        }
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            return Err(Problem::bad("The body must be a JSON object."));
        }
        if deeper_than(body, limits::JSON_DEPTH) {
            return Err(Problem::bad(format!(
                "The body must not be nested deeper than {} levels.",
                limits::JSON_DEPTH
            )));
        }
        let not_json = |error: serde_json::Error| {
            Problem::bad(format!(
                "The body is not valid JSON: line {}, column {}.",
                error.line(),
                error.column()
            ))
        };
        let mut json = serde_json::Deserializer::from_str(text);
        let entries = json.deserialize_map(EntriesOf(known)).map_err(not_json)?;
        json.end().map_err(not_json)?;

        let mut fields = Vec::with_capacity(entries.len());
        for (field, value) in entries {
            let name = field.map_err(|name| Problem::bad(format!("`{name}` is not a known field.")))?;
            if fields.iter().any(|(seen, _)| *seen == name) {
                return Err(Problem::bad(format!("`{name}` is given twice.")));
            }
            fields.push((name, value));
        }
        fields.retain(|(_, value)| value.get() != "null");
        Ok(Self(fields))
    }

    fn value(&self, field: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| *name == field).map(|(_, value)| *value)
    }

    /// A field's text as it stands in the JSON.
    pub(crate) fn raw(&self, field: &str) -> Option<&'a str> {
        self.value(field).map(RawValue::get)
    }

    /// `value`, which must be there.
    pub(crate) fn required<T>(&self, field: &'static str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or_else(|| Problem::bad(format!("`{field}` is required.")))
    }

    /// A string, as `new` takes it.
    pub(crate) fn text<T>(
        &self,
        field: &'static str,
        new: fn(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Problem> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        let text = string(raw).map_err(|error| invalid(field, &error))?;
        new(&text).map(Some).map_err(|error| invalid(field, &error))
    }

    /// A connection's or workspace's name.
    pub(crate) fn name(&self, field: &'static str) -> Result<Name, Problem> {
        self.required(field, self.text(field, Name::new)?)
    }

    /// A connection's type.
    pub(crate) fn connection_type(&self, field: &'static str) -> Result<ConnectionType, Problem> {
        self.required(field, self.text(field, ConnectionType::new)?)
    }

    /// A connection's id.
    pub(crate) fn connection_id(&self, field: &'static str) -> Result<ConnectionId, Problem> {
        self.required(field, self.text(field, ConnectionId::parse)?)
    }

    /// A person.
    pub(crate) fn subject(&self, field: &'static str) -> Result<Option<Subject>, Problem> {
        self.text(field, Subject::new)
    }

    /// Any text.
    pub(crate) fn any_text(&self, field: &'static str) -> Result<Option<String>, Problem> {
        self.text(field, |text| Ok(text.to_owned()))
    }

    /// A workspace's id: an integer, or a string of its plain decimal digits.
    pub(crate) fn workspace_id(&self, field: &'static str) -> Result<Option<WorkspaceId>, Problem> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        let wrong = || {
            invalid(
                field,
                &Invalid("must be a positive integer below 2^53, or its digits in a string".into()),
            )
        };
        let digits = if raw.starts_with('"') {
            string(raw).map_err(|_| wrong())?
        } else {
            raw.to_owned()
        };
        let id = plain_digits(&digits).ok_or_else(wrong)?;
        WorkspaceId::new(id).map(Some).map_err(|_| wrong())
    }

    /// A workspace's id that must be there.
    pub(crate) fn required_workspace_id(&self, field: &'static str) -> Result<WorkspaceId, Problem> {
        self.required(field, self.workspace_id(field)?)
    }

    /// A page's limit, 1 to 1000.
    pub(crate) fn limit(&self, field: &'static str) -> Result<Option<u16>, Problem> {
        let Some(raw) = self.raw(field) else { return Ok(None) };
        plain_digits(raw)
            .and_then(|limit| u16::try_from(limit).ok())
            .filter(|limit| (1..=limits::PAGE).contains(limit))
            .map(Some)
            .ok_or_else(|| {
                invalid(
                    field,
                    &Invalid(format!("must be an integer from 1 to {}", limits::PAGE)),
                )
            })
    }

    /// A role, in any case.
    pub(crate) fn role(&self, field: &'static str) -> Result<Option<Role>, Problem> {
        self.text(field, |text| {
            let named = |role: &Role| text.eq_ignore_ascii_case(role_text(*role));
            let role = [Role::Owner, Role::Collaborator].into_iter().find(named);
            role.ok_or_else(|| Invalid("must be OWNER or COLLABORATOR".into()))
        })
    }

    /// A yes or no; absent comes out as `default`.
    pub(crate) fn flag(&self, field: &'static str, default: bool) -> Result<bool, Problem> {
        match self.raw(field) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(invalid(field, &Invalid("must be true or false".into()))),
        }
    }

    /// A connection's details, the bytes as sent; absent comes out as null.
    pub(crate) fn details(&self, field: &'static str) -> Result<Details, Problem> {
        match self.value(field) {
            Some(value) => Details::from_json(value).map_err(|error| invalid(field, &error)),
            None => Ok(Details::null()),
        }
    }
}

/// How a role is written.
pub(crate) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Owner => "OWNER",
        Role::Collaborator => "COLLABORATOR",
    }
}

fn invalid(field: &str, error: &Invalid) -> Problem {
    Problem::bad(format!("`{field}` {error}."))
}

fn string(raw: &str) -> Result<String, Invalid> {
    if !raw.starts_with('"') {
        return Err(Invalid("must be a string".into()));
    }
    // Its syntax is already checked: what is left to go wrong is an escaped lone surrogate.
    serde_json::from_str(raw).map_err(|_| Invalid("must be a string of Unicode without lone surrogates".into()))
}

/// A number written as digits alone, without a leading zero.
fn plain_digits(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

/// Whether brackets nest deeper than `most`. Looks at brackets outside strings only; whether the text is JSON at all is
/// for the parser.
pub(crate) fn deeper_than(json: &[u8], most: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => _ = bytes.next(),
                        _ => {}
                    }
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// A known field, or an unknown one's name as far as an error shows it.
type Field = Result<&'static str, String>;

/// Reads an object into its fields' raw text, in order.
struct EntriesOf<'k>(&'k [&'static str]);

impl<'de> Visitor<'de> for EntriesOf<'_> {
    type Value = Vec<(Field, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(self.0.len());
        while let Some(field) = map.next_key_seed(FieldOf(self.0))? {
            entries.push((field, map.next_value()?));
        }
        Ok(entries)
    }
}

struct FieldOf<'k>(&'k [&'static str]);

impl<'de> DeserializeSeed<'de> for FieldOf<'_> {
    type Value = Field;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldOf<'_> {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Field, E> {
        Ok(self
            .0
            .iter()
            .find(|known| **known == name)
            .copied()
            .ok_or_else(|| name.chars().take(FIELD_SHOWN).flat_map(char::escape_debug).collect()))
    }
}

/// Writes the answers. Everything is ASCII punctuation and serde_json's strings, except details: those bytes were
/// checked to be JSON when they came in, and are authenticated since.
#[derive(Default)]
pub(crate) struct Json(Vec<u8>);

impl Json {
    /// Takes room for an answer of about `bytes`.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Punctuation and field names.
    pub(crate) fn literal(&mut self, json: &str) -> &mut Self {
        self.0.extend_from_slice(json.as_bytes());
        self
    }

    /// A text as a JSON string.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        // Writing a string into memory cannot fail.
        _ = serde_json::to_writer(&mut self.0, text);
        self
    }

    /// What shows as ASCII that needs no escapes: ids, times and numbers.
    pub(crate) fn plain(&mut self, value: impl fmt::Display) -> &mut Self {
        use std::io::Write as _;
        _ = write!(self.0, "{value}");
        self
    }

    /// Items between commas.
    pub(crate) fn each<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.literal(",");
            }
            write(self, item);
        }
        self
    }

    /// A Connection.
    pub(crate) fn connection(&mut self, seen: &Seen, details: &Details) -> &mut Self {
        let record = &seen.record;
        self.literal("{\"id\":\"").plain(record.id);
        self.literal("\",\"name\":").text(record.name.as_str());
        self.literal(",\"type\":").text(record.connection_type.as_str());
        self.literal(",\"details\":").0.extend_from_slice(details.expose());
        self.literal(",\"created_at\":\"").plain(record.created_at);
        self.literal("\",\"workspace_names\":[");
        self.each(&seen.workspace_names, |json, name| _ = json.text(name.as_str()));
        self.literal("]}")
    }

    /// A workspace as the SDK reads it.
    pub(crate) fn workspace(&mut self, workspace: &Workspace) -> &mut Self {
        self.literal("{\"id\":").plain(workspace.id);
        self.literal(",\"name\":").text(workspace.name.as_str());
        self.literal(",\"created_at\":\"").plain(workspace.created_at);
        self.literal("\",\"created_by\":").text(workspace.created_by.as_str());
        self.literal(",\"archived\":false,\"models\":[],\"pipelines\":[]}")
    }

    /// A member as the SDK reads it: who is known by e-mail alone is shown by that.
    pub(crate) fn member(&mut self, member: &Member) -> &mut Self {
        let (Person::Subject(shown) | Person::Email(shown)) = &member.person;
        self.literal("{\"user_id\":").text(shown.as_str());
        self.literal(",\"user_type\":\"")
            .literal(role_text(member.role))
            .literal("\"}")
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What was written after the first `length` bytes.
    pub(crate) fn since(&self, length: usize) -> &[u8] {
        self.0.get(length..).unwrap_or_default()
    }

    /// Takes back what was written after the first `length` bytes.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// The finished bytes, for who wipes them.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// The finished bytes.
    pub(crate) fn finish(self) -> bytes::Bytes {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KeyId, Record, Sealed, Timestamp};
    use crate::store::row_bytes;

    fn msg(body: &str) -> String {
        Fields::parse(body.as_bytes(), &["name", "details"])
            .map(|_| ())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_body_that_is_not_one_object_of_known_fields_is_refused_with_its_reason() {
        assert_eq!(msg(""), "The body must be a JSON object.");
        assert_eq!(msg("[]"), "The body must be a JSON object.");
        assert_eq!(msg("\u{feff}{}"), "The body must not begin with a byte-order mark.");
        assert_eq!(msg("{\"name\":1} x"), "The body is not valid JSON: line 1, column 12.");
        assert_eq!(msg("{\"Name\":1}"), "`Name` is not a known field.");
        assert_eq!(msg("{\"name\":null,\"name\":1}"), "`name` is given twice.");
        assert_eq!(msg("{\"n\\u0061me\":null,\"name\":1}"), "`name` is given twice.");
    }

    #[test]
    fn a_row_of_a_list_counts_for_what_it_takes() {
        let named = |names: &[&str]| names.iter().map(|name| Name::new(name).unwrap()).collect();
        for (name, workspace_names) in [
            ("a", vec![]),
            ("é\"\\/", named(&["w"])),
            ("b", named(&["\"", "\\", "ü"])),
        ] {
            let seen = Seen {
                record: Record {
                    id: ConnectionId::from_random([7; 16]),
                    name: Name::new(name).unwrap(),
                    connection_type: ConnectionType::new("KAFKA\"").unwrap(),
                    owner: Subject::new("ann").unwrap(),
                    created_at: Timestamp::from_micros(1),
                    sealed: Sealed {
                        key_id: KeyId::new("k1").unwrap(),
                        bytes: Vec::new(),
                    },
                },
                workspace_names,
            };
            let mut json = Json::default();
            json.connection(&seen, &Details::null()).literal(",");
            assert_eq!(row_bytes(&seen), json.len());
        }
    }

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        let nested = |levels: usize| format!("{{\"details\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(Fields::parse(nested(63).as_bytes(), &["details"]).is_ok());
        assert_eq!(msg(&nested(64)), "The body must not be nested deeper than 64 levels.");
        let quoted = format!("{{\"name\":\"\\\"{}\"}}", "[".repeat(100));
        assert!(Fields::parse(quoted.as_bytes(), &["name"]).is_ok());
    }

    #[test]
    fn details_are_the_bytes_as_sent() {
        for details in [
            "{ \"b\" : 1.0, \"a\":1e400,\"b\":\"\\ud800\\u0041\" }",
            "\"\\udfff\"",
            "{}",
            "null",
        ] {
            let body = format!("{{\"details\": {details} }}");
            let fields = Fields::parse(body.as_bytes(), &["details"]).unwrap();
            assert_eq!(fields.details("details").unwrap().expose(), details.as_bytes());
        }
    }

    #[test]
    fn a_workspace_id_is_an_integer_or_its_plain_digits() {
        for (given, taken) in [
            ("1", Some(1)),
            ("\"1\"", Some(1)),
            ("9007199254740991", Some(limits::WORKSPACE_ID)),
            ("9007199254740992", None),
            ("0", None),
            ("-1", None),
            ("1.0", None),
            ("1e0", None),
            ("\"01\"", None),
            ("\"+1\"", None),
            ("\" 1\"", None),
            ("\"\"", None),
            ("true", None),
            ("[1]", None),
            ("99999999999999999999999", None),
        ] {
            let body = format!("{{\"w\":{given}}}");
            let id = Fields::parse(body.as_bytes(), &["w"])
                .unwrap()
                .required_workspace_id("w");
            assert_eq!(id.map(WorkspaceId::get).ok(), taken, "{given}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            _ = Fields::parse(&body, &["name"]);
        }

        #[test]
        fn text_close_to_json_is_taken_exactly_when_it_is_json(body in "[\\[\\]{}\",:0-9eE.+ntrufalse\\\\ -]{0,24}") {
            let body = format!("{{\"name\":{body}}}");
            let is_json = serde_json::from_str::<std::collections::HashMap<String, &RawValue>>(&body).is_ok();
            let taken = Fields::parse(body.as_bytes(), &["name"]).is_ok();
            // What is JSON may still be refused, for a second or an unknown field.
            proptest::prop_assert!(is_json || !taken);
        }
    }
}
