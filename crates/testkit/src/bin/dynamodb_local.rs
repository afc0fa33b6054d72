//! DynamoDB Local for as long as this runs.

use std::io::Write as _;

use patchbay_testkit::DynamoDbLocal;

/// Starts it on a free port and prints its address.
fn main() -> anyhow::Result<()> {
    let local = DynamoDbLocal::start()?;
    writeln!(std::io::stdout(), "DynamoDB Local answers on {}", local.url())?;
    loop {
        std::thread::park();
    }
}
