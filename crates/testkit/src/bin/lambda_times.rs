//! Takes the times of functions: started as Lambda starts them, over DynamoDB Local, side by side.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use bytes::Bytes;
use clap::Parser;
use http::{Request, StatusCode, Uri};
use patchbay_testkit::lambda::{EmptyDynamoDb, Function, SecretsManager, TimedDynamoDb};
use patchbay_testkit::{Address, Target as _};
use serde_json::{Value, json};

/// Events that a function answers before its calls are timed.
const WARMING: usize = 100;
/// Warm calls that are held against the first one after a start.
const AFTER_FIRST: usize = 20;
/// What both functions answer with, more or less.
const DETAILS: usize = 1024;
/// The ring, as the secret's text and as a variable has it.
const SECRET: &str = r#"{"sealing":"k1","k1":"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"}"#;
const RING: &str = "k1:0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL";

/// Where systems have their root certificates in one file: Lambda's own, and Debian.
const ROOTS: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

/// Starts functions as Lambda would, hands them events and prints the times as JSON, in seconds.
#[derive(Parser)]
struct Arguments {
    /// Patchbay's function, unpacked.
    #[arg(long)]
    function: PathBuf,
    /// The function that it is held against, unpacked.
    #[arg(long)]
    yardstick: PathBuf,
    /// Where DynamoDB Local is.
    #[arg(long)]
    dynamodb: String,
    /// The table there.
    #[arg(long)]
    table: String,
    /// Starts of each.
    #[arg(long, default_value_t = 50)]
    starts: usize,
    /// How often the two take turns with their warm calls.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Warm calls of each turn.
    #[arg(long, default_value_t = 1000)]
    calls: usize,
}

/// What is started.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Patchbay, whose keys are in a secret.
    Secret,
    /// Patchbay, whose keys are in a variable.
    Variable,
    Yardstick,
    /// The yardstick, told where the root certificates are, as `template.yaml` tells Patchbay.
    ToldYardstick,
}

/// What functions are started with.
struct Bench {
    arguments: Arguments,
    secrets: SecretsManager,
    roots: &'static str,
}

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "the report")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let secrets = SecretsManager::start("ring", SECRET).await?;
    let (starts, rounds) = (arguments.starts, arguments.rounds);
    let roots = ROOTS.into_iter().find(|file| Path::new(file).exists());
    let bench = Bench {
        arguments,
        secrets,
        roots: roots.context("this system has its root certificates elsewhere")?,
    };
    let dynamodb = bench.arguments.dynamodb.parse::<Uri>()?.into_parts();
    let dynamodb = TimedDynamoDb::start(dynamodb.authority.context("which DynamoDB?")?).await?;
    bench.store(&dynamodb).await?;

    let at_once = EmptyDynamoDb::start().await?;
    let (mut secret, mut variable, mut yardstick, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..starts {
        for (kind, times) in [
            (Kind::Secret, &mut secret),
            (Kind::Variable, &mut variable),
            (Kind::Yardstick, &mut yardstick),
            (Kind::ToldYardstick, &mut told),
        ] {
            let function = bench.start(kind, &at_once.url()).await?;
            times.push(function.start_time().as_secs_f64());
        }
    }
    let starts_of = json!({ "secret": secret, "variable": variable, "yardstick": yardstick, "told": told });

    let (mut patchbay, mut yardstick) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        for (kind, times) in [(Kind::Secret, &mut patchbay), (Kind::Yardstick, &mut yardstick)] {
            let mut function = bench.start(kind, &dynamodb.url()).await?;
            let first = call(&mut function, &dynamodb).await?.took;
            let mut warm = Vec::new();
            for _ in 0..AFTER_FIRST {
                warm.push(call(&mut function, &dynamodb).await?.took);
            }
            times.push(json!({ "first": first, "warm": warm }));
        }
    }
    let first_calls = json!({ "patchbay": patchbay, "yardstick": yardstick });

    let (mut patchbay, mut yardstick) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (kind, times) in [(Kind::Secret, &mut patchbay), (Kind::Yardstick, &mut yardstick)] {
            let mut function = bench.start(kind, &dynamodb.url()).await?;
            for _ in 0..WARMING {
                call(&mut function, &dynamodb).await?;
            }
            for _ in 0..bench.arguments.calls {
                let call = call(&mut function, &dynamodb).await?;
                times.push(json!({ "took": call.took, "dynamodb": call.dynamodb }));
            }
        }
    }
    let warm_calls = json!({ "patchbay": patchbay, "yardstick": yardstick });
    println!(
        "{}",
        json!({ "starts": starts_of, "first_calls": first_calls, "warm_calls": warm_calls })
    );
    Ok(())
}

impl Bench {
    async fn start(&self, kind: Kind, dynamodb: &str) -> anyhow::Result<Function> {
        let secrets = self.secrets.url();
        let table = self.arguments.table.as_str();
        let mut variables = match kind {
            Kind::Yardstick | Kind::ToldYardstick => {
                vec![("TABLE", table), ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)]
            }
            _ => vec![
                ("PATCHBAY_AUTH", "off"),
                ("PATCHBAY_TABLE", table),
                ("PATCHBAY_DYNAMODB_ENDPOINT", dynamodb),
            ],
        };
        match kind {
            Kind::Secret => variables.extend([
                ("PATCHBAY_KEYS_SECRET", "ring"),
                ("PATCHBAY_SECRETS_ENDPOINT", &secrets),
            ]),
            Kind::Variable => variables.push(("PATCHBAY_KEYS", RING)),
            Kind::Yardstick | Kind::ToldYardstick => {}
        }
        if kind != Kind::Yardstick {
            variables.push(("SSL_CERT_FILE", self.roots));
        }
        Function::start(self.bootstrap(kind), &variables, None).await
    }

    fn bootstrap(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Yardstick | Kind::ToldYardstick => &self.arguments.yardstick,
            _ => &self.arguments.function,
        }
    }

    /// Stores what both functions then answer with.
    async fn store(&self, dynamodb: &TimedDynamoDb) -> anyhow::Result<()> {
        let details = json!({ "secret": "x".repeat(DETAILS) });
        let mut function = self.start(Kind::Secret, &dynamodb.url()).await?;
        let connection = json!({ "name": "warehouse", "type": "KAFKA", "details": details });
        invoke(&mut function, "create", &connection).await?;
        let item = json!({
            "TableName": self.arguments.table,
            "Item": {
                "pk": { "S": "yardstick" },
                "sk": { "S": "yardstick" },
                "body": { "S": details.to_string() },
            },
        });
        let put = Request::post("/")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "DynamoDB_20120810.PutItem")
            // It wants one, and checks nothing of it.
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-central-1/dynamodb/aws4_request, \
                 SignedHeaders=host, Signature=0",
            )
            .body(Bytes::from(item.to_string()))?;
        let answer = Address::new(&self.arguments.dynamodb)?.send(None, put).await;
        let answer = answer.map_err(|error| anyhow!("DynamoDB Local does not answer: {error}"))?;
        ensure!(answer.status() == StatusCode::OK, "the item is not stored: {answer:?}");
        Ok(())
    }
}

/// One call, in seconds.
struct Call {
    took: f64,
    /// Of that, what DynamoDB took.
    dynamodb: f64,
}

/// Has a function answer with what is stored.
async fn call(function: &mut Function, dynamodb: &TimedDynamoDb) -> anyhow::Result<Call> {
    dynamodb.take();
    let took = invoke(function, "get", &json!({ "name": "warehouse" })).await?;
    Ok(Call {
        took: took.as_secs_f64(),
        dynamodb: dynamodb.take().as_secs_f64(),
    })
}

/// One event of an HTTP API, answered with 200.
async fn invoke(function: &mut Function, operation: &str, body: &Value) -> anyhow::Result<Duration> {
    let path = format!("/v1/api/connections/{operation}");
    let event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "content-length": body.to_string().len().to_string(),
            "content-type": "application/json",
            "host": "id.execute-api.eu-central-1.amazonaws.com",
            "user-agent": "patchbay",
            "x-amzn-trace-id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "domainName": "id.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "id",
            "http": {
                "method": "POST",
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "patchbay",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_u64,
        },
        "body": body.to_string(),
        "isBase64Encoded": false,
    });
    let answered = function.invoke(event.to_string()).await;
    let answered = answered.map_err(|failure| anyhow!("{operation}: {failure:?}"))?;
    let answer: Value = serde_json::from_slice(&answered.payload)?;
    ensure!(answer.get("statusCode") == Some(&json!(200)), "{operation}: {answer}");
    Ok(answered.took)
}
