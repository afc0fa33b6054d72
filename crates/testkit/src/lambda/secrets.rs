//! AWS Secrets Manager with one secret, which it gives at once.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::loopback::Loopback;

/// A Secrets Manager that answers `GetSecretValue`, whoever asks, and nothing else.
pub struct SecretsManager(Loopback);

impl SecretsManager {
    /// One whose only secret, of this name, is `text`.
    ///
    /// # Errors
    /// Where there is no port to listen on.
    pub async fn start(name: &str, text: &str) -> anyhow::Result<Self> {
        let arn = format!("arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-AbCdEf");
        let known = [name.to_owned(), arn.clone()];
        let secret = json!({
            "ARN": arn,
            "Name": name,
            "VersionId": "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
            "SecretString": text,
            "VersionStages": ["AWSCURRENT"],
            "CreatedDate": 1.7e9,
        });
        let server = Loopback::serve(move |head, body| {
            let asked = head.headers.get("x-amz-target").map(HeaderValue::as_bytes);
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let id = body.get("SecretId").and_then(Value::as_str).unwrap_or_default();
            let answer = if asked == Some(b"secretsmanager.GetSecretValue") && known.iter().any(|known| known == id) {
                Ok(secret.clone())
            } else {
                Err(json!({ "__type": "ResourceNotFoundException", "Message": "there is no such secret" }))
            };
            async move {
                let status = match answer {
                    Ok(_) => StatusCode::OK,
                    Err(_) => StatusCode::BAD_REQUEST,
                };
                let body = answer.unwrap_or_else(|refused| refused).to_string();
                let mut response = Response::new(Full::new(Bytes::from(body)));
                *response.status_mut() = status;
                let json = HeaderValue::from_static("application/x-amz-json-1.1");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
        });
        Ok(Self(server.await?))
    }

    /// Where it is: `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.0.authority)
    }
}
