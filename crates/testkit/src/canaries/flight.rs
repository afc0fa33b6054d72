//! Takes canaries through a home: every operation, and what it takes to call them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use patchbay_core::api;

use super::Canaries;
use super::callers::ADOPTERS;

const PATIENCE: Duration = Duration::from_secs(20);
/// What the names of connections begin with, which are no secret: who looks for canaries in what a home keeps should
/// find this there.
const NAMES: &str = "canaries-flew-here";

/// A flight through the home at an address.
pub struct Flight<'c> {
    /// `host:port`
    authority: &'c str,
    pub(super) canaries: &'c mut Canaries,
    /// Gives a token that lets a request in, where one is asked for.
    token: Box<dyn FnMut() -> Option<String> + 'c>,
    /// An operator's token, where the home knows one.
    operator: Option<String>,
    pub(super) landed: Landed,
    pub(super) round: usize,
}

/// What came of a flight.
#[derive(Default)]
pub struct Landed {
    /// All that was answered in which no secret may be: everything but details that were asked for.
    pub shown: Vec<u8>,
    /// How often each status was answered.
    pub statuses: BTreeMap<u16, usize>,
    /// The operations, as logs call them, that did once what they are for, or that the home says it does not have.
    pub done: BTreeSet<String>,
}

impl Landed {
    /// Whether every operation was flown, and every way that a request goes wrong on the caller's side where tokens are
    /// asked for.
    ///
    /// # Errors
    /// Names what was not.
    pub fn went_everywhere(&self) -> anyhow::Result<()> {
        let missed: Vec<_> = api::operations()
            // No route; 404 is seen to below.
            .filter(|operation| *operation != "unknown" && !self.done.contains(*operation))
            .collect();
        ensure!(missed.is_empty(), "not flown: {missed:?}");
        for status in [200, 204, 400, 401, 403, 404, 405, 409, 413, 415] {
            let statuses = &self.statuses;
            ensure!(statuses.contains_key(&status), "no {status} among {statuses:?}");
        }
        Ok(())
    }
}

impl<'c> Flight<'c> {
    /// What the names of the connections begin with that are made.
    pub const NAMES: &'static str = NAMES;

    /// Through the home at `host:port`, to which callers bring what `token` gives.
    pub fn new(authority: &'c str, canaries: &'c mut Canaries, token: impl FnMut() -> Option<String> + 'c) -> Self {
        Self {
            authority,
            canaries,
            token: Box::new(token),
            operator: None,
            landed: Landed::default(),
            round: 0,
        }
    }

    /// With an operator's token.
    #[must_use]
    pub fn with_operator(mut self, token: &str) -> Self {
        self.operator = Some(token.to_owned());
        self
    }

    /// Flies so many rounds, each with some hundred secrets of its own. What was made last stays.
    ///
    /// # Errors
    /// Where there is no home, or it does not do what it is asked to.
    pub fn fly(mut self, rounds: usize) -> anyhow::Result<Landed> {
        for round in 0..rounds {
            self.round = round;
            self.operations().with_context(|| format!("round {round}"))?;
            self.wrong_bodies()?;
            self.wrong_heads()?;
            self.wrong_tokens()?;
            self.broken_off()?;
        }
        Ok(self.landed)
    }

    /// A secret in JSON, and the details that it is in, in one of the ways that details are written.
    pub(super) fn details(&mut self, what: &str) -> (String, String) {
        let secret = self.canaries.fresh(what);
        let json = serde_json::to_string(&secret).unwrap_or_default();
        let escaped: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        let details = match self.round % 5 {
            0 => format!("{{\"password\":{json}}}"),
            1 => json,
            2 => format!("{{\"a\" : [{{{json}:[{json},1.0]}}]}}"),
            3 => format!("{{\"password\":\"{escaped}\"}}"),
            _ => format!(
                "{{\"key\":\"{}\",\"pad\":\"{}\"}}",
                STANDARD.encode(&secret),
                "x".repeat(20_000)
            ),
        };
        (secret, details)
    }

    fn operations(&mut self) -> anyhow::Result<()> {
        let name = format!("{NAMES}-{}-{}", self.round, fastrand::u64(..));
        let (_, details) = self.details("details that are kept");
        let create = format!("{{\"name\":\"{name}\",\"type\":\"K\",\"details\":{details}}}");
        let made = self.call("connections/create", &create, 200)?;
        let id = made.rsplit('"').nth(1).context("create gives an id")?.to_owned();
        let asked = [
            ("connections/get", format!("{{\"name\":\"{name}\"}}")),
            ("connections/get_by_id", format!("{{\"id\":\"{id}\"}}")),
            ("connections/list", "{\"limit\":1000}".to_owned()),
        ];
        for (operation, body) in asked {
            let request = self.request(operation, "", &body);
            let (answer, _) = self.exchange(&request, false)?;
            ensure!(answer.contains(&details), "{operation} does not give the details");
        }
        let look = format!("{{\"name\":\"{name}\",\"details\":false}}");
        self.call("connections/get", &look, 200)?;
        // It is in nobody's way: a workspace for itself.
        let workspace = format!("{{\"workspace_name\":\"{name}\"}}");
        let workspace = self.call("workspaces/create", &workspace, 200)?;
        let workspace: String = workspace
            .chars()
            .rev()
            .skip(1)
            .take_while(char::is_ascii_digit)
            .collect();
        let workspace: String = workspace.chars().rev().collect();
        let place = format!("{{\"workspace_id\":{workspace},\"connection_id\":\"{id}\"}}");
        self.call("connections/add_to_workspace", &place, 200)?;
        self.call("connections/delete", &format!("{{\"name\":\"{name}\"}}"), 409)?;
        self.people(&workspace)?;
        self.call("connections/remove_from_workspace", &place, 204)?;
        self.call("connections/remove_from_workspace", &place, 404)?;
        let (_, others) = self.details("details for a name that is taken");
        let taken = format!("{{\"name\":\"{name}\",\"type\":\"K\",\"details\":{others}}}");
        self.call("connections/create", &taken, 409)?;
        if self.round.is_multiple_of(2) {
            self.call("connections/delete", &format!("{{\"name\":\"{name}\"}}"), 204)?;
        }
        // Some homes leave the trail to their platform.
        let request = self.request("audit/list", "", "{\"limit\":1000}");
        self.expect_if_there(&request)?;
        self.operators()?;
        for path in ["/v1/api/config", "/healthz", "/readyz"] {
            let token = self.canaries.fresh_token("a token where none is asked for");
            let request = self.get(path, &format!("authorization: Bearer {token}\r\n"));
            self.expect(&request, 200)?;
        }
        Ok(())
    }

    /// What is done with a workspace's members.
    fn people(&mut self, workspace: &str) -> anyhow::Result<()> {
        let invitation = self.canaries.fresh_token("a token in an invitation's address");
        let guest = format!("\"workspace_id\":{workspace},\"user_id\":\"guest\"");
        let invited = format!("{{{guest},\"url\":\"https://example.com/?token={invitation}\"}}");
        self.call("workspaces/add_user", &invited, 200)?;
        self.call(
            "workspaces/list_users",
            &format!("{{\"workspace_id\":{workspace}}}"),
            200,
        )?;
        self.call("workspaces/list", "{}", 200)?;
        self.call("workspaces/remove_user", &format!("{{{guest}}}"), 200)?;
        Ok(())
    }

    /// What operators alone may do, and what they may not.
    fn operators(&mut self) -> anyhow::Result<()> {
        let operations = ["admin/keys/status", "admin/keys/reseal"];
        for operation in operations {
            self.call(operation, "{}", 403)?;
        }
        let Some(operator) = self.operator_bearer() else {
            return Ok(());
        };
        for operation in operations {
            let request = self.post(operation, &operator, "{}");
            self.expect_if_there(&request)?;
        }
        self.adopt(&operator)?;
        let (_, details) = self.details("an operator's details");
        let create = format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{details}}}");
        let request = self.post("connections/create", &operator, &create);
        self.expect(&request, 403)?;
        let cursor = self.canaries.fresh_token("a cursor that is none");
        let request = self.post(operations[0], &operator, &format!("{{\"cursor\":\"{cursor}\"}}"));
        self.send(&request)?;
        Ok(())
    }

    /// Rehearses that all that is there is given to another tenant's; does so once.
    fn adopt(&mut self, operator: &str) -> anyhow::Result<()> {
        let is_rehearsal = self.round != 1;
        let fields = format!("\"tenant\":\"{ADOPTERS}\",\"owner\":\"ann\",\"dry_run\":{is_rehearsal}");
        self.call("admin/adopt", &format!("{{{fields}}}"), 403)?;
        let mut next = String::new();
        loop {
            let request = self.post("admin/adopt", operator, &format!("{{{fields}{next}}}"));
            let answer = self.expect_if_there(&request)?;
            let Some((_, cursor)) = answer.split_once("\"next_cursor\":\"") else {
                ensure!(!answer.contains("\"adopted\":null"), "nothing is adopted");
                return Ok(());
            };
            let cursor = cursor.split('"').next().unwrap_or_default();
            next = format!(",\"cursor\":\"{cursor}\"");
        }
    }

    /// Calls an operation as somebody who is let in.
    pub(super) fn call(&mut self, operation: &str, body: &str, status: u16) -> anyhow::Result<String> {
        let request = self.request(operation, "", body);
        self.expect(&request, status)
    }

    /// Sends a request for what a home need not have, to which the answer may show no secret.
    fn expect_if_there(&mut self, request: &[u8]) -> anyhow::Result<String> {
        let (answer, status) = self.send(request)?;
        let operation = operation(request);
        ensure!(
            matches!(status, Some(200 | 501)),
            "{operation:?} is answered {status:?}"
        );
        Ok(answer)
    }

    /// A request by somebody who is let in.
    pub(super) fn request(&mut self, operation: &str, headers: &str, body: &str) -> Vec<u8> {
        let headers = self.bearer() + headers;
        self.post(operation, &headers, body)
    }

    pub(super) fn bearer(&mut self) -> String {
        match (self.token)() {
            Some(token) => format!("authorization: Bearer {token}\r\n"),
            None => String::new(),
        }
    }

    /// The header of an operator, if there is one.
    pub(super) fn operator_bearer(&self) -> Option<String> {
        let token = self.operator.as_ref()?;
        Some(format!("authorization: Bearer {token}\r\n"))
    }

    pub(super) fn get(&self, path: &str, headers: &str) -> Vec<u8> {
        let host = self.authority;
        format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n").into_bytes()
    }

    pub(super) fn post(&self, operation: &str, headers: &str, body: &str) -> Vec<u8> {
        let length = format!("content-length: {}\r\n", body.len());
        (self.head(operation, &(headers.to_owned() + &length)) + body).into_bytes()
    }

    pub(super) fn head(&self, operation: &str, headers: &str) -> String {
        let host = self.authority;
        format!("POST /v1/api/{operation} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n")
    }

    /// Sends a request whose answer may show no secret, and is of this status.
    pub(super) fn expect(&mut self, request: &[u8], status: u16) -> anyhow::Result<String> {
        let (answer, told) = self.send(request)?;
        let line = String::from_utf8_lossy(request)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        ensure!(told == Some(status), "{line} is answered {told:?}, not {status}");
        Ok(answer)
    }

    /// Sends something to which the answer, if there is one, may show no secret. Gives it and its status.
    ///
    /// # Errors
    /// Where there is no home.
    pub fn send(&mut self, request: &[u8]) -> anyhow::Result<(String, Option<u16>)> {
        let (answer, status) = self.exchange(request, false)?;
        self.landed.shown.extend_from_slice(answer.as_bytes());
        Ok((answer, status))
    }

    /// Sends the beginning of something, and no more.
    pub(super) fn break_off(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let (answer, _) = self.exchange(request, true)?;
        self.landed.shown.extend_from_slice(answer.as_bytes());
        Ok(())
    }

    /// The answer as it comes, and its status.
    pub(super) fn exchange(&mut self, request: &[u8], ends: bool) -> anyhow::Result<(String, Option<u16>)> {
        let mut stream = TcpStream::connect(self.authority).context("nobody is at the address")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Who refuses a request by its head may not take the rest of it.
        _ = stream.write_all(request);
        if ends {
            _ = stream.shutdown(Shutdown::Write);
        }
        let (mut answer, mut part) = (Vec::new(), vec![0; 64 * 1024]);
        while !is_whole(&answer) {
            match stream.read(&mut part) {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(part.get(..read).unwrap_or_default()),
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        if let Some(status) = status {
            *self.landed.statuses.entry(status).or_default() += 1;
            if matches!(status, 200..=299 | 501) {
                self.landed.done.extend(operation(request));
            }
        }
        Ok((answer, status))
    }
}

/// The operation that a request asks for, as logs call it.
fn operation(request: &[u8]) -> Option<String> {
    let line = request.split(|byte| *byte == b'\r').next()?;
    let path = str::from_utf8(line).ok()?.split(' ').nth(1)?;
    Some(path.trim_start_matches("/v1/api/").trim_start_matches('/').to_owned())
}

/// Whether this is all of an answer that says how long it is. Who waits for more may wait for as long as a home lingers.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(answer.get(..head).unwrap_or_default()).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let length = length.or(text.starts_with("http/1.1 204").then_some(0));
    length.is_some_and(|length| answer.len() >= head + 4 + length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_was_not_flown_is_missed() {
        let mut landed = Landed::default();
        for status in [200, 204, 400, 401, 403, 404, 405, 409, 413, 415] {
            landed.statuses.insert(status, 1);
        }
        let known = ["/v1/api/connections/get?a=b", "/healthz"];
        let named = known.map(|path| operation(format!("POST {path} HTTP/1.1\r\n").as_bytes()));
        assert_eq!(
            named,
            ["connections/get?a=b", "healthz"].map(|name| Some(name.to_owned()))
        );
        landed.done.extend(api::operations().map(str::to_owned));
        landed.went_everywhere().unwrap();
        landed.done.remove("admin/keys/reseal");
        let missed = landed.went_everywhere().unwrap_err().to_string();
        assert_eq!(missed, "not flown: [\"admin/keys/reseal\"]");
    }
}
