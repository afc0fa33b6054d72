//! How a home reaches AWS: one place for its clients' settings.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpClient as _, http_client_fn};
use aws_types::SdkConfig;

/// Time to open a connection: within a region that takes a few milliseconds.
const CONNECT: Duration = Duration::from_secs(1);
/// Time for one attempt. The longest answer, some megabytes of a list, takes a fraction of it.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Time for all attempts of a request.
const REQUEST: Duration = Duration::from_secs(5);
/// Attempts of a request that was not answered, or is to be repeated. The store tries again itself and sets this aside.
const ATTEMPTS: u32 = 3;
/// The longest pause before the second attempt. It doubles with each, and the pause taken is drawn at random.
const PAUSE: Duration = Duration::from_millis(50);

/// HTTPS over the TLS library that the native server has as well. The system's root certificates are read at the first
/// use. An endpoint of `http://` is reached in the clear.
pub fn http_client() -> SharedHttpClient {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    // By itself it would go through all of those certificates once more for each client of a service that is made.
    http_client_fn(move |settings, components| client.http_connector(settings, components))
}

/// What clients of AWS's services are made from.
pub fn sdk_config(region: Region, credentials: SharedCredentialsProvider, http_client: SharedHttpClient) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(REQUEST)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(PAUSE);
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(region)
        .credentials_provider(credentials)
        .http_client(http_client)
        .timeout_config(timeouts)
        .retry_config(retries)
        .build()
}
