//! The stand-in for Lambda does what Lambda would, to a function that speaks the Runtime API by hand.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use patchbay_testkit::lambda::{Answered, Failure, Function, RuntimeApi, SecretsManager};
use patchbay_testkit::{Address, Target as _};

const RUNTIME: &str = "/2018-06-01/runtime";
const LONG: Duration = Duration::from_secs(60);

/// The function's side.
struct Client(Address);

impl Client {
    fn of(api: &RuntimeApi) -> Self {
        Self(Address::new(&format!("http://{}", api.authority())).unwrap())
    }

    async fn next(&self) -> Response<Bytes> {
        let request = Request::get(format!("{RUNTIME}/invocation/next"));
        self.0.send(None, request.body(Bytes::new()).unwrap()).await.unwrap()
    }

    async fn post(&self, path: &str, body: impl Into<Bytes>) -> StatusCode {
        let request = Request::post(format!("{RUNTIME}/{path}")).body(body.into()).unwrap();
        self.0.send(None, request).await.unwrap().status()
    }
}

fn id(event: &Response<Bytes>) -> &str {
    event
        .headers()
        .get("lambda-runtime-aws-request-id")
        .unwrap()
        .to_str()
        .unwrap()
}

/// Has one event answered, and gives what the function is told of its answer and what its caller gets.
async fn answer(how: &str, body: impl Into<Bytes>) -> (StatusCode, Result<Answered, Failure>) {
    let api = RuntimeApi::start().await.unwrap();
    let client = Client::of(&api);
    let function = async {
        let event = client.next().await;
        client
            .post(&format!("invocation/{}/{how}", id(&event)), body.into())
            .await
    };
    tokio::join!(function, api.invoke("{}", LONG))
}

#[tokio::test]
async fn an_event_is_handed_over_with_its_deadline_and_its_answer_handed_back() {
    let api = RuntimeApi::start().await.unwrap();
    let client = Client::of(&api);
    let function = async {
        for _ in 0..2 {
            let event = client.next().await;
            let deadline = event.headers().get("lambda-runtime-deadline-ms").unwrap();
            assert!(deadline.to_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
            assert!(event.headers().contains_key("lambda-runtime-invoked-function-arn"));
            let body = event.body().clone();
            let told = client.post(&format!("invocation/{}/response", id(&event)), body).await;
            assert_eq!(told, StatusCode::ACCEPTED);
        }
    };
    let caller = async {
        for event in ["one", "two"] {
            assert_eq!(api.invoke(event, LONG).await.unwrap().payload, event);
        }
    };
    tokio::join!(function, caller);
    api.asked().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_lambda_would_not_take_is_refused_and_its_caller_told_so() {
    let (told, got) = answer("response", vec![b'x'; 6_291_556]).await;
    assert_eq!((told, got.unwrap().payload.len()), (StatusCode::ACCEPTED, 6_291_556));
    let (told, got) = answer("response", vec![b'x'; 6_291_557]).await;
    assert_eq!(told, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(got.unwrap_err().kind, "Function.ResponseSizeTooLarge");
}

#[tokio::test]
async fn the_caller_is_told_the_functions_own_error() {
    let error = r#"{"errorType":"Unhandled","errorMessage":"it broke"}"#;
    let (told, got) = answer("error", error).await;
    let Failure { kind, message } = got.unwrap_err();
    assert_eq!(
        (told, &*kind, &*message),
        (StatusCode::ACCEPTED, "Unhandled", "it broke")
    );

    let api = RuntimeApi::start().await.unwrap();
    Client::of(&api).post("init/error", error).await;
    assert_eq!(api.asked().await.unwrap_err().message, "it broke");
}

#[tokio::test]
async fn an_invocation_ends_at_its_time_out_and_an_answer_to_another_is_refused() {
    let api = RuntimeApi::start().await.unwrap();
    let client = Client::of(&api);
    let none = api.invoke("{}", Duration::ZERO).await.unwrap_err();
    assert_eq!(none.kind, "Sandbox.Timedout");
    assert_eq!(
        client.post("invocation/another/response", "{}").await,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_function_that_ends_instead_of_asking_for_an_event_has_not_started() {
    let started = Function::start(Path::new("/bin/false"), &[], None).await;
    let error = started.err().unwrap().to_string();
    assert!(error.contains("Runtime.ExitError"), "{error}");
}

#[tokio::test]
async fn a_secret_is_given_by_its_name_and_no_other() {
    let secrets = SecretsManager::start("ring", "k1:text").await.unwrap();
    let home = Address::new(&secrets.url()).unwrap();
    for (name, status, text) in [("ring", 200, "k1:text"), ("other", 400, "ResourceNotFound")] {
        let request = Request::post("/").header("x-amz-target", "secretsmanager.GetSecretValue");
        let request = request
            .body(Bytes::from(format!(r#"{{"SecretId":"{name}"}}"#)))
            .unwrap();
        let answer = home.send(None, request).await.unwrap();
        let body = String::from_utf8_lossy(answer.body());
        assert!(answer.status() == status && body.contains(text), "{body}");
    }
}
