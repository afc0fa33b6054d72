//! Bodies that every operation refuses: a table of fields, and what may be wrong with each.

use http::Method;
use serde_json::{Map, Value, json};

use super::always;
use crate::runner::Case;
use crate::world::World;

/// An operation with the fields of its body.
pub(crate) struct Operation {
    pub(crate) path: &'static str,
    pub(crate) fields: &'static [Field],
}

pub(crate) struct Field {
    name: &'static str,
    required: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Name,
    Type,
    Details,
    Uuid,
    WorkspaceId,
    Limit,
    Cursor,
    Person,
    Flag,
    Time,
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        required: true,
        kind,
    }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        required: false,
        kind,
    }
}

const PAIR: &[Field] = &[
    required("workspace_id", Kind::WorkspaceId),
    required("connection_id", Kind::Uuid),
];

/// Every operation that takes a body.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        path: "connections/create",
        fields: &[
            required("name", Kind::Name),
            required("type", Kind::Type),
            optional("details", Kind::Details),
        ],
    },
    Operation {
        path: "connections/add_to_workspace",
        fields: PAIR,
    },
    Operation {
        path: "connections/list",
        fields: &[
            optional("workspace_id", Kind::WorkspaceId),
            optional("limit", Kind::Limit),
            optional("cursor", Kind::Cursor),
            optional("details", Kind::Flag),
        ],
    },
    Operation {
        path: "connections/get",
        fields: &[required("name", Kind::Name), optional("details", Kind::Flag)],
    },
    Operation {
        path: "connections/get_by_id",
        fields: &[required("id", Kind::Uuid), optional("details", Kind::Flag)],
    },
    Operation {
        path: "connections/remove_from_workspace",
        fields: PAIR,
    },
    Operation {
        path: "connections/delete",
        fields: &[required("name", Kind::Name)],
    },
    Operation {
        path: "workspaces/create",
        fields: &[required("workspace_name", Kind::Name)],
    },
    Operation {
        path: "workspaces/list",
        fields: &[optional("user_id", Kind::Person)],
    },
    Operation {
        path: "audit/list",
        fields: &[
            optional("connection_id", Kind::Uuid),
            optional("subject", Kind::Person),
            optional("since", Kind::Time),
            optional("until", Kind::Time),
            optional("limit", Kind::Limit),
            optional("cursor", Kind::Cursor),
        ],
    },
];

impl Kind {
    fn valid(self, world: &World<'_>) -> Value {
        match self {
            Self::Name => json!(world.name()),
            Self::Type => json!("KAFKA"),
            Self::Details => json!({}),
            Self::Uuid => json!("6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
            Self::WorkspaceId => json!(world.unused_workspace()),
            Self::Limit => json!(10),
            Self::Cursor => json!("not-checked-here"),
            Self::Person => json!("somebody"),
            Self::Flag => json!(false),
            Self::Time => json!("2030-01-31T00:00:00Z"),
        }
    }

    /// Raw JSON of values that the field refuses.
    fn wrong(self) -> Vec<String> {
        let own = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = |most: usize| {
            let mut values = own(&[
                "7",
                "true",
                "[]",
                "{}",
                "\"\"",
                "\" a\"",
                "\"a \"",
                "\"\\u00a0a\"",
                "\"a\\u2003\"",
                "\"\\u0000\"",
                "\"a\\nb\"",
                "\"a\\u007fb\"",
                "\"a\\u0085b\"",
                "\"\\ud800\"",
                "[\"a\"]",
            ]);
            values.push(format!("\"{}\"", "n".repeat(most + 1)));
            // One character fewer than bytes.
            values.push(format!("\"{}é\"", "n".repeat(most - 1)));
            values
        };
        match self {
            Self::Name | Self::Person => text(255),
            Self::Type => text(64),
            Self::Details => own(&["7", "true", "false", "[]", "[{}]", "1.5"]),
            Self::Uuid => own(&[
                "7",
                "true",
                "{}",
                "[]",
                "\"\"",
                "\"6ba7b8109dad41d180b400c04fd430c8\"",
                "\"{6ba7b810-9dad-41d1-80b4-00c04fd430c8}\"",
                "\"urn:uuid:6ba7b810-9dad-41d1-80b4-00c04fd430c8\"",
                "\"6ba7b810-9dad-41d1-80b4-00c04fd430cg\"",
                "\"6ba7b810-9dad-41d1-80b4-00c04fd430c\"",
                "\" 6ba7b810-9dad-41d1-80b4-00c04fd430c8\"",
                "\"6ba7b810-9dad-41d1-80b400-c04fd430c8\"",
            ]),
            Self::WorkspaceId => own(&[
                "0",
                "-1",
                "-0",
                "1.0",
                "1.5",
                "1e2",
                "9007199254740992",
                "18446744073709551617",
                "true",
                "{}",
                "[1]",
                "\"\"",
                "\"0\"",
                "\"-1\"",
                "\"+1\"",
                "\"01\"",
                "\" 1\"",
                "\"1 \"",
                "\"1.0\"",
                "\"1e2\"",
                "\"one\"",
                "\"9007199254740992\"",
                "\"\\u0661\"",
            ]),
            Self::Limit => own(&[
                "0",
                "-1",
                "1001",
                "1.0",
                "1e2",
                "\"10\"",
                "true",
                "{}",
                "[]",
                "99999999999999999999",
            ]),
            Self::Flag => own(&["0", "1", "\"false\"", "\"\"", "{}", "[]", "[false]"]),
            Self::Time => own(&[
                "7",
                "true",
                "{}",
                "\"\"",
                "\"now\"",
                "\"2030-01-31\"",
                "\"2030-01-31T00:00:00\"",
                "\"2030-02-30T00:00:00Z\"",
            ]),
            Self::Cursor => own(&["7", "true", "{}", "[]", "\"\"", "\"made up\"", "\"k1.AAAA\""]),
        }
    }
}

impl Operation {
    fn valid(&self, world: &World<'_>) -> Map<String, Value> {
        let required = self.fields.iter().filter(|field| field.required);
        required
            .map(|field| (field.name.to_owned(), field.kind.valid(world)))
            .collect()
    }
}

type Check = for<'w> fn(&'w World<'w>, &'static Operation) -> futures_util::future::LocalBoxFuture<'w, ()>;

/// A check out of an async function.
macro_rules! checks {
    ($($check:ident),+ $(,)?) => {
        [$((stringify!($check), (|world, operation| Box::pin($check(world, operation))) as Check)),+]
    };
}

pub(crate) fn cases() -> Vec<Case> {
    let checks = checks![
        what_is_not_json_is_400,
        what_is_not_an_object_is_400,
        a_byte_order_mark_is_400,
        an_unknown_field_is_400_and_named,
        a_field_given_twice_is_400_and_named,
        a_required_field_that_is_missing_or_null_is_400_and_named,
        an_optional_field_that_is_null_counts_as_absent,
        a_value_out_of_its_rule_is_400_and_its_field_named,
        deeper_than_64_levels_is_400,
    ];
    let mut cases = Vec::new();
    for operation in OPERATIONS {
        for (name, check) in checks {
            cases.push(Case {
                group: operation.path,
                name: name.to_owned(),
                applies: always,
                act: Box::new(move |world| check(world, operation)),
            });
        }
    }
    cases
}

async fn what_is_not_json_is_400(world: &World<'_>, operation: &Operation) {
    for body in [
        &b""[..],
        b"   ",
        b"{",
        b"{} {}",
        b"{}x",
        b"{\"name\":}",
        b"{'name':\"a\"}",
        b"{\"name\":\"a\",}",
        b"{\"name\":NaN}",
        b"{\"name\":01}",
        b"{\"name\":\"a\nb\"}",
        b"{\"name\":\"\\x\"}",
        b"{\"name\":\"\xff\"}",
        b"\xff\xfe{\x00}\x00",
        b"name=a",
    ] {
        // Between a client and a function, what calls itself `application/json` and is no text is not passed on.
        let json: &[u8] = match std::str::from_utf8(body) {
            Ok(_) => b"application/json",
            Err(_) => b"application/merge-patch+json",
        };
        let call = world.request(None, Method::POST, &format!("/v1/api/{}", operation.path));
        let call = call.header("content-type", json).body(body);
        call.reply().await.refused(400, &[]);
    }
}

async fn what_is_not_an_object_is_400(world: &World<'_>, operation: &Operation) {
    for body in ["null", "true", "7", "\"name\"", "[]", "[{}]"] {
        world.raw(operation.path, body).await.refused(400, &["object"]);
    }
}

async fn a_byte_order_mark_is_400(world: &World<'_>, operation: &Operation) {
    let body = format!("\u{feff}{}", Value::Object(operation.valid(world)));
    world.raw(operation.path, body).await.refused(400, &["byte-order mark"]);
}

async fn an_unknown_field_is_400_and_named(world: &World<'_>, operation: &Operation) {
    for unknown in ["unheard_of", "Name", "tenant", "created_at", "__proto__"] {
        let mut body = operation.valid(world);
        body.insert(unknown.to_owned(), json!(null));
        world
            .post(operation.path, &Value::Object(body))
            .await
            .refused(400, &[unknown]);
    }
}

async fn a_field_given_twice_is_400_and_named(world: &World<'_>, operation: &Operation) {
    for field in operation.fields {
        let (name, value) = (field.name, field.kind.valid(world));
        let mut others = operation.valid(world);
        others.remove(name);
        let others: String = others
            .iter()
            .map(|(name, value)| format!(",{}:{value}", json!(name)))
            .collect();
        let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
        for twice in [
            format!("{{\"{name}\":{value},\"{name}\":{value}{others}}}"),
            format!("{{\"{name}\":null,\"{name}\":{value}{others}}}"),
            format!("{{\"{escaped}\":{value},\"{name}\":{value}{others}}}"),
        ] {
            world.raw(operation.path, twice).await.refused(400, &[name, "twice"]);
        }
    }
}

async fn a_required_field_that_is_missing_or_null_is_400_and_named(world: &World<'_>, operation: &Operation) {
    for field in operation.fields.iter().filter(|field| field.required) {
        let mut body = operation.valid(world);
        body.remove(field.name);
        world
            .post(operation.path, &Value::Object(body.clone()))
            .await
            .refused(400, &[field.name]);
        body.insert(field.name.to_owned(), Value::Null);
        world
            .post(operation.path, &Value::Object(body))
            .await
            .refused(400, &[field.name]);
    }
}

async fn an_optional_field_that_is_null_counts_as_absent(world: &World<'_>, operation: &Operation) {
    let mut body = operation.valid(world);
    let plain = world.post(operation.path, &Value::Object(body.clone())).await;
    if operation.path == "connections/create" {
        body.insert("name".into(), json!(world.name()));
    }
    for field in operation.fields.iter().filter(|field| !field.required) {
        body.insert(field.name.to_owned(), Value::Null);
        let reply = world.post(operation.path, &Value::Object(body.clone())).await;
        assert_eq!(reply.status, plain.status, "{reply:?}");
        if operation.path == "connections/create" {
            let name = body["name"].as_str().unwrap_or_default();
            assert_eq!(world.get(name).await.ok().json()["details"], Value::Null);
            world.delete(name).await.no_content();
        }
    }
}

async fn a_value_out_of_its_rule_is_400_and_its_field_named(world: &World<'_>, operation: &Operation) {
    for field in operation.fields {
        for wrong in field.kind.wrong() {
            let mut others = operation.valid(world);
            others.remove(field.name);
            let others: String = others
                .iter()
                .map(|(name, value)| format!(",{}:{value}", json!(name)))
                .collect();
            let body = format!("{{\"{}\":{wrong}{others}}}", field.name);
            world.raw(operation.path, body).await.refused(400, &[field.name]);
        }
    }
}

async fn deeper_than_64_levels_is_400(world: &World<'_>, operation: &Operation) {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = format!("{}1{}", open.repeat(64), close.repeat(64));
        let body = format!("{{\"details\":{inner}}}");
        world.raw(operation.path, body).await.refused(400, &["64"]);
    }
    // Depth that would end a recursive parser.
    world.raw(operation.path, "[".repeat(500_000)).await.refused(400, &[]);
    world
        .raw(operation.path, "{\"a\":".repeat(100_000))
        .await
        .refused(400, &["64"]);
}
