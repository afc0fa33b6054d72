//! The real binary, started the way AWS Lambda starts it, over a table on DynamoDB Local.

#![cfg(all(feature = "dynamodb", feature = "lambda"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use patchbay_core::api::Host as _;
use patchbay_testkit::canaries::{Callers, Canaries, Scanner, missed};
use patchbay_testkit::issuer::{AUDIENCE, By, Issuer, Manner, Published};
use patchbay_testkit::lambda::{EmptyDynamoDb, Function, Gateway, SecretsManager};
use patchbay_testkit::sample::caller;
use patchbay_testkit::{DynamoDbLocal, SystemHost, operator};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use common::dynamodb::dump;
use common::{audit, done};

const RING: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// A ring whose key has the id of [`RING`]'s, and is another.
const OF_ANOTHER_KEY: &str = "k1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";
/// A ring without a key of that id.
const WITHOUT_THE_KEY: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";
const EVENT: &str = include_str!("../../lambda/tests/events/http-api.json");

/// The event of a list.
fn list() -> Value {
    serde_json::from_str(EVENT).unwrap()
}

/// The event of an operation.
fn event(operation: &str, body: &str) -> Value {
    let mut event: Value = serde_json::from_str(&EVENT.replace("connections/list", operation)).unwrap();
    event["body"] = body.into();
    event
}

/// The event with a token.
fn with_token(mut event: Value, token: &str) -> Value {
    event["headers"]["authorization"] = format!("Bearer {token}").into();
    event
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_patchbay"))
}

/// A table of its own for a test.
fn table(name: &str) -> String {
    let table = format!("function-{name}");
    let made = Command::new(binary())
        .args(["table", "create", "--table", &table])
        .env("PATCHBAY_DYNAMODB_ENDPOINT", DynamoDbLocal::shared().url())
        .envs([
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    table
}

/// Starts the function; gives it, or that it did not start, and where its log is.
async fn start(test: &str, variables: &[(&str, &str)]) -> (anyhow::Result<Function>, PathBuf) {
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("function-{test}.log"));
    let function = Function::start(binary(), variables, Some(File::create(&log).unwrap())).await;
    (function, log)
}

/// The status of a reply, and the whole of it as text.
async fn invoke(function: &mut Function, event: &str) -> String {
    let answered = function.invoke(event.to_owned()).await.unwrap();
    String::from_utf8(answered.payload.to_vec()).unwrap()
}

#[tokio::test]
async fn events_are_answered_with_the_ring_of_a_secret_and_leave_a_line_of_log_each() {
    let secret = format!("{{\"sealing\":\"k1\",\"k1\":\"{}\"}}", "S".repeat(48));
    let secrets = SecretsManager::start("ring", &secret).await.unwrap();
    let variables = [
        ("PATCHBAY_TABLE", &*table("answers")),
        ("PATCHBAY_DYNAMODB_ENDPOINT", DynamoDbLocal::shared().url()),
        ("PATCHBAY_KEYS_SECRET", "ring"),
        ("PATCHBAY_SECRETS_ENDPOINT", &secrets.url()),
        ("PATCHBAY_AUTH", "off"),
    ];
    let (function, log) = start("answers", &variables).await;
    let mut function = function.unwrap();
    let create = EVENT.replace("connections/list", "connections/create").replace(
        r#"{\"limit\": 10}"#,
        r#"{\"name\":\"a\",\"type\":\"T\",\"details\":\"hunter2\"}"#,
    );
    for (event, expected) in [
        (&*create, "\"statusCode\":200"),
        (EVENT, r#"\"details\":\"hunter2\""#),
        (&*create, "\"statusCode\":409"),
    ] {
        let reply = invoke(&mut function, event).await;
        assert!(reply.contains(expected), "{reply}");
        let lines = fs::read_to_string(&log).unwrap();
        // The line is there before the reply is.
        let line = lines.lines().last().unwrap();
        for part in [
            "\"level\":\"INFO\"",
            "\"method\":\"POST\"",
            "\"request_id\":\"from-the-caller\"",
            "\"gateway_request_id\":\"JKJaXmPLvHcESHA=\"",
            "\"lambda_request_id\":\"",
            "\"tenant\":\"default\"",
            "\"micros\":",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
    let lines = fs::read_to_string(&log).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(!lines.contains("hunter2") && !lines.contains("SSSS"), "{lines}");
}

#[tokio::test]
async fn an_issuers_tokens_make_callers_and_wrong_ones_nobody_and_none_is_in_the_log() {
    let issuer = Issuer::default();
    let table = table("callers");
    let told = issuer.settings();
    let mut variables: Vec<_> = told.iter().map(|(name, text)| (*name, text.as_str())).collect();
    variables.extend([
        ("PATCHBAY_TABLE", &*table),
        ("PATCHBAY_DYNAMODB_ENDPOINT", DynamoDbLocal::shared().url()),
        ("PATCHBAY_KEYS", RING),
    ]);
    let (function, log) = start("callers", &variables).await;
    let mut function = function.unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(
        said.contains("\"key_id\":\"for-rs512\"") && said.contains("`alg` is not"),
        "{said}"
    );

    let event = |token: &str| with_token(list(), token).to_string();
    let without = invoke(&mut function, EVENT).await;
    assert!(without.contains("\"statusCode\":401"), "{without}");
    let (good, bad) = (issuer.good(SystemHost.now()), issuer.bad(SystemHost.now()));
    for (name, token) in &good {
        let reply = invoke(&mut function, &event(token)).await;
        assert!(reply.contains("\"statusCode\":200"), "{name}: {reply}");
    }
    for (name, token) in &bad {
        let reply = invoke(&mut function, &event(token)).await;
        assert!(
            reply.contains("\"statusCode\":401") && reply.contains(r#"Bearer error=\"invalid_token\""#),
            "{name}: {reply}"
        );
    }
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("its signature is not the issuer's"), "{said}");
    for (name, token) in good.iter().chain(&bad).filter(|(_, token)| token.len() > 40) {
        assert!(!said.contains(&token[token.len() - 20..]), "{name}");
    }
}

#[tokio::test]
async fn each_call_leaves_one_audit_record_in_the_log_though_nothing_else_is_logged() {
    let issuer = Issuer::default();
    let (table, settings) = (table("audit"), issuer.settings());
    let mut variables = vec![
        ("PATCHBAY_TABLE", &*table),
        ("PATCHBAY_DYNAMODB_ENDPOINT", DynamoDbLocal::shared().url()),
        ("PATCHBAY_KEYS", RING),
        ("PATCHBAY_LOG", "off"),
    ];
    variables.extend(settings.iter().map(|(name, text)| (*name, text.as_str())));
    let (function, log) = start("audit", &variables).await;
    let mut function = function.unwrap();
    let ann = &issuer.good(SystemHost.now())[0].1;
    let event = |operation: &str, body: &str, token: &str| with_token(event(operation, body), token).to_string();
    let mut created = Value::Null;
    for (number, (operation, body, status)) in audit::CALLS.into_iter().enumerate() {
        let reply = invoke(&mut function, &event(operation, &audit::body(body, &created), ann)).await;
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply["statusCode"], status, "{operation}");
        if number == 0 {
            created = serde_json::from_str(reply["body"].as_str().unwrap()).unwrap();
        }
        // A record is there before the reply is.
        let expected = audit::expected(&created, "from-the-caller", "198.51.100.7");
        let left = expected.get(..=number).unwrap_or(&expected);
        assert_eq!(audit::records(&fs::read_to_string(&log).unwrap()), left, "{operation}");
    }
    let nobody = invoke(&mut function, &event("connections/list", "{}", &ann[1..])).await;
    assert!(nobody.contains("\"statusCode\":401"), "{nobody}");
    assert_eq!(audit::records(&fs::read_to_string(&log).unwrap()).len(), 15);

    variables.truncate(4);
    variables.push(("PATCHBAY_AUTH", "off"));
    let (function, log) = start("not-audited", &variables).await;
    let reply = invoke(&mut function.unwrap(), EVENT).await;
    assert!(reply.contains("\"statusCode\":200"), "{reply}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "", "with authentication off");
}

/// A function whose callers are an issuer's, which fetches its keys, over no table.
struct Fetching {
    issuer: Issuer,
    published: Published,
    table: EmptyDynamoDb,
}

impl Fetching {
    async fn new() -> Self {
        let issuer = Issuer::default();
        let published = Published::start(issuer.jwks()).await.unwrap();
        Self {
            issuer: issuer.named(&published.name()),
            published,
            table: EmptyDynamoDb::start().await.unwrap(),
        }
    }

    /// Other keys of the same issuer, whose ids end with this.
    fn rotated(&self, generation: &str) -> Issuer {
        Issuer::other().named(&self.published.name()).rotated(generation)
    }

    fn by_unknown_keys(&self, count: usize) -> Vec<String> {
        let ann = caller("acme", "ann", false);
        self.issuer.by_unknown_keys(count, &ann, SystemHost.now())
    }

    async fn start(&self, test: &str) -> (Function, PathBuf) {
        let (function, log) = start(
            test,
            &[
                ("PATCHBAY_TABLE", "patchbay"),
                ("PATCHBAY_DYNAMODB_ENDPOINT", &self.table.url()),
                ("PATCHBAY_KEYS", RING),
                ("PATCHBAY_AUTH", "oidc"),
                ("PATCHBAY_ISSUER", &self.published.name()),
                ("PATCHBAY_AUDIENCE", AUDIENCE),
            ],
        )
        .await;
        (function.unwrap(), log)
    }
}

/// The reply to a call with a token of this issuer.
async fn call(function: &mut Function, issuer: &Issuer) -> Value {
    let ann = caller("acme", "ann", false);
    call_with(function, &issuer.token(By::Es256, &ann, SystemHost.now())).await
}

async fn call_with(function: &mut Function, token: &str) -> Value {
    serde_json::from_str(&invoke(function, &with_token(list(), token).to_string()).await).unwrap()
}

#[tokio::test]
async fn an_issuers_keys_are_fetched_as_the_function_starts_and_unknown_ones_asked_for_once_in_30_seconds() {
    let home = Fetching::new().await;
    let began = Instant::now();
    let (mut function, log) = home.start("keys").await;
    assert_eq!(home.published.sets(), 1);
    assert_eq!(call(&mut function, &home.issuer).await["statusCode"], 200);
    for token in home.by_unknown_keys(10_000) {
        assert_eq!(call_with(&mut function, &token).await["statusCode"], 401);
    }
    let rotated = home.rotated("-2");
    home.published.publish(rotated.jwks());
    // Nothing but a token of the new key has it fetched.
    while call(&mut function, &rotated).await["statusCode"] != 200 {
        assert!(began.elapsed() < Duration::from_secs(120), "the new key is never taken");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let most = 1 + began.elapsed().as_secs() / 30;
    assert!(home.published.sets() as u64 <= most, "{} sets", home.published.sets());
    assert_eq!(call(&mut function, &home.issuer).await["statusCode"], 401);
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("the issuer gave its keys"), "{said}");
}

#[tokio::test]
async fn keys_that_are_known_outlive_their_issuer() {
    let home = Fetching::new().await;
    home.published.say("max-age=7200");
    let (mut function, log) = home.start("outlived").await;
    home.published.behave(Manner::Fails);
    // It is asked in vain.
    tokio::time::sleep(Duration::from_secs(30)).await;
    for token in home.by_unknown_keys(10) {
        assert_eq!(call_with(&mut function, &token).await["statusCode"], 401);
    }
    assert_eq!(home.published.documents(), 2);
    assert_eq!(call(&mut function, &home.issuer).await["statusCode"], 200);
    let said = fs::read_to_string(&log).unwrap();
    for part in ["\"fresh_seconds\":7200", "those that are known go on"] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn an_issuer_that_misbehaves_lets_the_function_start_and_nobody_in_and_the_log_says_why() {
    for (manner, why) in [
        (Manner::Hangs, "there is no answer within 5 s"),
        (Manner::Garbage, "is not a JSON object"),
        (Manner::Floods, "over 1 MiB"),
        (Manner::OtherIssuer, "is of another `issuer`"),
        (Manner::Redirects, "the answer is 302"),
        (Manner::Fails, "the answer is 500"),
    ] {
        let home = Fetching::new().await;
        home.published.behave(manner);
        let (mut function, log) = home.start(&format!("issuer-{manner:?}")).await;
        let asked = home.published.documents();
        let reply = call(&mut function, &home.issuer).await;
        assert_eq!(reply["statusCode"], 503, "{manner:?}: {reply}");
        assert!(reply["headers"]["retry-after"].is_string(), "{reply}");
        assert_eq!((asked, home.published.documents()), (1, 1), "{manner:?}");
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.contains(why), "{manner:?}: {said}");
        assert!(home.published.flooded() < 20 * 1024 * 1024);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_an_operators_token_through_the_gateway() {
    /// Several steps of a rotation, of which each takes 4 MiB.
    const COUNT: usize = 60;
    let table = table("rotation");
    let serve = async |test: &str, ring: &str| {
        let variables = [
            ("PATCHBAY_TABLE", &*table),
            ("PATCHBAY_DYNAMODB_ENDPOINT", DynamoDbLocal::shared().url()),
            ("PATCHBAY_KEYS", ring),
            ("PATCHBAY_AUTH", "off"),
            ("PATCHBAY_OPERATOR_TOKENS", &operator::entry()),
        ];
        start(test, &variables).await.0.unwrap()
    };
    let event = |operation: &str, body: &Value| event(operation, &body.to_string()).to_string();
    let details = |number: usize| format!("{number}{}", "x".repeat(200_000));
    let mut function = serve("rotation-old", RING).await;
    for number in 0..COUNT {
        let body = json!({ "name": format!("c{number}"), "type": "K", "details": details(number) });
        let reply = invoke(&mut function, &event("connections/create", &body)).await;
        assert!(reply.contains("\"statusCode\":200"), "{reply}");
    }
    drop(function);

    let gateway = serve("rotation-both", &format!("{WITHOUT_THE_KEY},{RING}")).await;
    let gateway = Gateway::start(gateway).await.unwrap();
    let mut keys = Command::new(binary());
    keys.args(["keys", "rotate", "--url", &format!("http://{}", gateway.authority())])
        .env("PATCHBAY_OPERATOR_TOKEN", operator::token().expose_secret());
    let said = tokio::task::block_in_place(|| done(keys));
    let [old, new] = [
        "k1: 0 records".to_owned(),
        format!("k2: {COUNT} records; it seals what is new"),
    ];
    assert!(said.starts_with(&old) && said.contains(&new), "{said}");
    drop(gateway);

    let mut function = serve("rotation-new", WITHOUT_THE_KEY).await;
    for number in 0..COUNT {
        let body = json!({ "name": format!("c{number}") });
        let reply = invoke(&mut function, &event("connections/get", &body)).await;
        assert!(reply.contains(&details(number)), "c{number}");
    }
}

#[tokio::test]
async fn a_start_that_cannot_succeed_says_why_and_repeats_no_key() {
    let table = EmptyDynamoDb::start().await.unwrap();
    let secret = format!("{{\"sealing\":\"k2\",\"k1\":\"{}\"}}", "A".repeat(48));
    let secrets = SecretsManager::start("ring", &secret).await.unwrap();
    let (table, secrets) = (table.url(), secrets.url());
    let reached = [("PATCHBAY_TABLE", "patchbay"), ("PATCHBAY_DYNAMODB_ENDPOINT", &*table)];
    for (number, (variables, expected)) in [
        (vec![("PATCHBAY_KEYS", RING)], "PATCHBAY_TABLE must name the table"),
        (vec![("PATCHBAY_KEYS", "k1:AAAA")], "PATCHBAY_KEYS: entry 1"),
        (
            vec![("PATCHBAY_KEYS", RING), ("PATCHBAY_AUTH", "tokens")],
            "PATCHBAY_AUTH=tokens needs PATCHBAY_TOKENS",
        ),
        (
            vec![("PATCHBAY_KEYS", RING), ("PATCHBAY_WORKSPACES", "open")],
            "PATCHBAY_WORKSPACES may be open only with PATCHBAY_AUTH=off",
        ),
        (
            vec![("PATCHBAY_KEYS", RING), ("PATCHBAY_TABEL", "t")],
            "PATCHBAY_TABEL is not a setting",
        ),
        (vec![], "PATCHBAY_KEYS_SECRET must name the secret"),
        (
            vec![
                ("PATCHBAY_KEYS_SECRET", "ring"),
                ("PATCHBAY_SECRETS_ENDPOINT", &*secrets),
            ],
            "the secret ring `sealing` must be",
        ),
        (
            vec![
                ("PATCHBAY_KEYS_SECRET", "gone"),
                ("PATCHBAY_SECRETS_ENDPOINT", &*secrets),
            ],
            "the secret gone cannot be read: service error: ResourceNotFoundException",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut variables = variables;
        if number > 0 {
            variables.extend(reached);
        }
        let (function, log) = start(&format!("refused-{number}"), &variables).await;
        assert!(function.is_err(), "{expected}");
        let said = fs::read_to_string(log).unwrap();
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("AAAA"), "{said}");
    }
}

#[tokio::test]
async fn without_a_setting_for_authentication_it_starts_says_so_and_refuses_every_call() {
    let table = EmptyDynamoDb::start().await.unwrap();
    let variables = [
        ("PATCHBAY_TABLE", "patchbay"),
        ("PATCHBAY_DYNAMODB_ENDPOINT", &*table.url()),
        ("PATCHBAY_KEYS", RING),
    ];
    let (function, log) = start("closed", &variables).await;
    let mut function = function.unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("every call is refused: PATCHBAY_AUTH"), "{said}");
    let answer = invoke(&mut function, EVENT).await;
    assert!(answer.contains("\"statusCode\":503"), "{answer}");
    assert!(answer.contains("was not told how to know its callers"), "{answer}");
}

#[tokio::test]
async fn a_table_out_of_reach_is_503_once_there_is_a_call_and_no_failed_start() {
    // Nothing listens on a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let variables = [
        ("PATCHBAY_TABLE", "patchbay"),
        ("PATCHBAY_DYNAMODB_ENDPOINT", &*format!("http://{free}")),
        ("PATCHBAY_KEYS", RING),
        ("PATCHBAY_AUTH", "off"),
    ];
    let (function, log) = start("unreachable", &variables).await;
    let mut function = function.unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("so far"), "{said}");
    let reply = invoke(&mut function, EVENT).await;
    assert!(
        reply.contains("\"statusCode\":503") && reply.contains("\"retry-after\""),
        "{reply}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_functions_log_table_or_answers_and_what_is_leaked_on_purpose_is_found() {
    /// Each has some hundred secrets.
    const ROUNDS: usize = 25;
    let table = table("canaries");
    let callers = Callers::default();
    let mut canaries = Canaries::default();
    let ring = format!("k1:{}AAAAAAAAAAA", canaries.fresh_token("a key"));
    let (role, session) = (
        canaries.fresh_token("the role's key"),
        canaries.fresh_token("its session"),
    );
    let settings = callers.settings();
    let start = async |test: &str, ring: &str, table: &str| {
        let mut variables: Vec<_> = settings.iter().map(|(name, text)| (*name, text.as_str())).collect();
        variables.extend([
            ("AWS_SECRET_ACCESS_KEY", role.as_str()),
            ("AWS_SESSION_TOKEN", &session),
            ("PATCHBAY_DYNAMODB_ENDPOINT", DynamoDbLocal::shared().url()),
            ("PATCHBAY_KEYS", ring),
            ("PATCHBAY_LOG", "trace"),
            ("PATCHBAY_TABLE", table),
        ]);
        let (function, log) = start(test, &variables).await;
        (Gateway::start(function.unwrap()).await.unwrap(), log)
    };
    let (gateway, log) = start("canaries", &ring, &table).await;
    let landed = tokio::task::block_in_place(|| callers.fly(gateway.authority(), &mut canaries, ROUNDS)).unwrap();
    landed.went_everywhere().unwrap();
    assert!(!landed.statuses.contains_key(&502), "{:?}", landed.statuses);
    assert!(canaries.count() > 80 * ROUNDS, "only {} secrets", canaries.count());

    let mut told = Vec::new();
    for event in events_that_are_none(callers.opaque(), &mut canaries) {
        let answered = gateway.invoke(event).await;
        told.extend(answered.map_or_else(|failure| failure.message.into(), |answered| answered.payload));
    }
    let refused = String::from_utf8_lossy(&told).matches("\"statusCode\":400").count();
    assert_eq!(refused, 8, "one of nine is not even JSON");

    let (mut shown, mut said) = (landed.shown, fs::read(&log).unwrap());
    for (test, ring, table, status) in [
        ("canaries-another-key", OF_ANOTHER_KEY, &*table, 500),
        ("canaries-without-the-key", WITHOUT_THE_KEY, &table, 500),
        ("canaries-without-the-table", &ring, "function-no-table", 503),
    ] {
        let (gateway, log) = start(test, ring, table).await;
        let flight = callers.flight(gateway.authority(), &mut canaries);
        let landed = tokio::task::block_in_place(|| flight.in_vain(2)).unwrap();
        assert!(landed.statuses.contains_key(&status), "{:?}", landed.statuses);
        shown.extend(landed.shown);
        said.extend(fs::read(log).unwrap());
    }

    let scanner = Scanner::new(&canaries).unwrap();
    for (place, bytes) in [
        ("an answer", &shown),
        ("an answer to an event that is none", &told),
        ("the table", &dump(&table).await),
        ("the log", &said),
    ] {
        assert_eq!(scanner.bytes(place, bytes), []);
    }

    let mut planted = Canaries::default();
    let flight = callers.flight(gateway.authority(), &mut planted);
    let landed = tokio::task::block_in_place(|| flight.plant()).unwrap();
    let scanner = Scanner::new(&planted).unwrap();
    let places = ["an answer", "the table", "the log"];
    let bytes = [landed.shown, dump(&table).await, fs::read(log).unwrap()];
    let leaks = places
        .iter()
        .zip(&bytes)
        .flat_map(|(place, bytes)| scanner.bytes(place, bytes));
    assert_eq!(missed(&leaks.collect::<Vec<_>>(), &places), [""; 0]);
}

/// Events that no request was made into, by somebody who is let in, each with a secret.
fn events_that_are_none(token: &str, canaries: &mut Canaries) -> Vec<String> {
    type Write<'w> = &'w dyn Fn(&str) -> Value;
    let wrong: [(&str, &str, Write<'_>); 8] = [
        ("a method that is none", "/requestContext/http/method", &|s| json!(s)),
        ("a path that is no text", "/rawPath", &|s| json!([s])),
        ("a header that is none", "/headers/accept", &|s| json!(format!("{s}\n"))),
        ("headers in a list", "/headers", &|s| json!([s])),
        ("a body that is no text", "/body", &|s| json!({ "details": s })),
        ("a body that is no Base64", "/body", &|s| json!(s)),
        ("a context that is none", "/requestContext", &|s| json!(s)),
        ("an event that is a text", "", &|s| json!(s)),
    ];
    let mut event = with_token(list(), token);
    event["isBase64Encoded"] = true.into();
    let mut events = Vec::from(wrong.map(|(what, place, write)| {
        let mut event = event.clone();
        *event.pointer_mut(place).unwrap() = write(&canaries.fresh(what));
        event.to_string()
    }));
    events.push(format!("{{\"body\":\"{}", canaries.fresh("an event that breaks off")));
    events
}
