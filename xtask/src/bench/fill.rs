//! The connections that are stored before anything is measured.

use std::thread;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use ureq::Agent;

/// Calls at once. Creates that wait together are committed together.
const CLIENTS: usize = 64;

/// Creates `count` connections with 1 KiB of details, and attaches the first `attached` of them to `workspace`. Gives
/// their names, which begin with `prefix`, and ids.
pub fn fill(
    url: &str,
    token: Option<&str>,
    prefix: &str,
    workspace: u64,
    count: usize,
    attached: usize,
) -> anyhow::Result<Vec<(String, String)>> {
    let secret = "x".repeat(1024 - json!({"secret": ""}).to_string().len());
    let one = |agent: &Agent, number: usize| -> anyhow::Result<(String, String)> {
        let name = format!("{prefix}-{number:05}");
        let created = call(
            agent,
            url,
            token,
            "create",
            &json!({"name": name, "type": "KAFKA", "details": {"secret": secret}}),
        )?;
        let created: Value = serde_json::from_str(&created)?;
        let id = created.get("id").and_then(Value::as_str).context("create gave no id")?;
        if number < attached {
            let body = json!({"workspace_id": workspace, "connection_id": id});
            call(agent, url, token, "add_to_workspace", &body)?;
        }
        Ok((name, id.to_owned()))
    };
    let share = |client: usize| -> anyhow::Result<Vec<(String, String)>> {
        let agent = Agent::new_with_defaults();
        (client..count)
            .step_by(CLIENTS)
            .map(|number| one(&agent, number))
            .collect()
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || share(client))).collect();
        let mut made = Vec::with_capacity(count);
        for client in clients {
            made.extend(
                client
                    .join()
                    .map_err(|_| anyhow!("a client of the filling panicked"))??,
            );
        }
        Ok(made)
    })
}

/// One call of a connection operation, with a bearer token where there is one. Gives the answer's body.
pub fn call(agent: &Agent, url: &str, token: Option<&str>, operation: &str, body: &Value) -> anyhow::Result<String> {
    let mut request = agent
        .post(format!("{url}/v1/api/connections/{operation}"))
        .content_type("application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut answer = request
        .send(body.to_string())
        .with_context(|| format!("{operation} failed"))?;
    Ok(answer.body_mut().read_to_string()?)
}
