//! The proxy before DynamoDB does to a connection what it says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{self, ErrorKind};

use patchbay_testkit::dynamodb_proxy::{DynamoDbProxy, Fault};
use patchbay_testkit::lambda::EmptyDynamoDb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const KEYS: &str = r#"{"RequestItems":{"t":{"ConsistentRead":true,"Keys":[{"k":1},{"k":2},{"k":3}]}}}"#;

/// Sends a request over a connection of its own; gives what came, and how the connection ended.
async fn exchange(proxy: &DynamoDbProxy) -> (String, io::Result<usize>) {
    let address = proxy.url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-amz-target: DynamoDB_20120810.BatchGetItem\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{KEYS}", KEYS.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    let end = stream.read_to_end(&mut came).await;
    (String::from_utf8(came).unwrap(), end)
}

#[tokio::test]
async fn a_connection_is_closed_before_or_after_dynamodb_was_asked_or_reset_half_way_through_the_answer() {
    let dynamodb = EmptyDynamoDb::start().await.unwrap();
    let proxy = DynamoDbProxy::start(&dynamodb.url()).await.unwrap();
    let (whole, _) = exchange(&proxy).await;
    let body = r#"{"Responses":{},"UnprocessedKeys":{}}"#;
    assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with(body), "{whole}");
    proxy.exchanges();

    let planned = [Fault::LostRequest, Fault::LostAnswer, Fault::Reset];
    proxy.fail("BatchGetItem", planned);
    for asked in [false, true] {
        let (came, end) = exchange(&proxy).await;
        assert_eq!((came.as_str(), end.unwrap()), ("", 0));
        let [exchange] = &proxy.exchanges()[..] else {
            panic!("one exchange");
        };
        assert_eq!(
            (&*exchange.request, exchange.answer.is_some()),
            (KEYS.as_bytes(), asked)
        );
    }
    let (came, end) = exchange(&proxy).await;
    assert!(
        came.starts_with("HTTP/1.1 200") && came.ends_with(&body[..body.len() / 2]),
        "{came}"
    );
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.met().into_values().collect::<Vec<_>>(), [1; 3]);
}

#[tokio::test]
async fn of_the_keys_that_are_left_unread_each_is_asked_or_given_back() {
    let dynamodb = EmptyDynamoDb::start().await.unwrap();
    let proxy = DynamoDbProxy::start(&dynamodb.url()).await.unwrap();
    proxy.fail("BatchGetItem", [Fault::Unprocessed]);
    let (came, _) = exchange(&proxy).await;
    let rest = r#""UnprocessedKeys":{"t":{"ConsistentRead":true,"Keys":[{"k":2},{"k":3}]}}"#;
    assert!(came.contains(rest), "{came}");
    let exchanges = proxy.exchanges();
    assert!(exchanges.iter().all(|exchange| exchange.answer.is_some()));
}
