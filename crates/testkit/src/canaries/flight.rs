//! Takes canaries through a home: every operation, and every way that a request goes wrong.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Canaries;

const PATIENCE: Duration = Duration::from_secs(20);
/// What the names of connections begin with, which are no secret: who looks for canaries in what a home keeps should
/// find this there.
const NAMES: &str = "canaries-flew-here";

/// A flight through the home at an address.
pub struct Flight<'c> {
    /// `host:port`
    authority: &'c str,
    canaries: &'c mut Canaries,
    /// Gives a token that lets a request in, where one is asked for.
    token: Box<dyn FnMut() -> Option<String> + 'c>,
    shown: Vec<u8>,
    statuses: BTreeMap<u16, usize>,
    round: usize,
}

/// What came of a flight.
pub struct Landed {
    /// All that was answered in which no secret may be: everything but details that were asked for.
    pub shown: Vec<u8>,
    /// How often each status was answered.
    pub statuses: BTreeMap<u16, usize>,
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
            shown: Vec::new(),
            statuses: BTreeMap::new(),
            round: 0,
        }
    }

    /// Flies so many rounds, each with some eighty secrets of its own. What was made last stays.
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
        Ok(Landed {
            shown: self.shown,
            statuses: self.statuses,
        })
    }

    /// A secret in JSON, and the details that it is in, in one of the ways that details are written.
    fn details(&mut self, what: &str) -> (String, String) {
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
        self.call("connections/remove_from_workspace", &place, 204)?;
        self.call("connections/remove_from_workspace", &place, 404)?;
        let (_, others) = self.details("details for a name that is taken");
        let taken = format!("{{\"name\":\"{name}\",\"type\":\"K\",\"details\":{others}}}");
        self.call("connections/create", &taken, 409)?;
        if self.round.is_multiple_of(2) {
            self.call("connections/delete", &format!("{{\"name\":\"{name}\"}}"), 204)?;
        }
        Ok(())
    }

    fn wrong_bodies(&mut self) -> anyhow::Result<()> {
        let long = "x".repeat(270_000);
        let wide = "y".repeat(530_000);
        let deep = ("[".repeat(70), "]".repeat(70));
        type Write<'w> = &'w dyn Fn(&str) -> String;
        let create: [(&str, u16, Write<'_>); 17] = [
            ("details of a body that breaks off", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{d}")
            }),
            ("details of a body with more behind it", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{d}}} {d}")
            }),
            ("details without quotation marks", 400, &|d| {
                format!("{{\"name\":\"n\",\"details\":{}}}", d.replace('"', ""))
            }),
            ("details in a list", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":[{d}]}}")
            }),
            ("details given twice", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{d},\"details\":{d}}}")
            }),
            ("a value of an unknown field", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"password\":{d}}}")
            }),
            ("details without a name", 400, &|d| {
                format!("{{\"type\":\"K\",\"details\":{d}}}")
            }),
            ("details in the place of a name", 400, &|d| {
                format!("{{\"name\":[{d}],\"type\":\"K\"}}")
            }),
            ("details in the place of a type", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":{{\"a\":{d}}}}}")
            }),
            ("details that are too long", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{{\"a\":{d},\"b\":\"{long}\"}}}}")
            }),
            ("details that are too deep", 400, &|d| {
                format!(
                    "{{\"name\":\"n\",\"type\":\"K\",\"details\":{{\"a\":{}{d}{}}}}}",
                    deep.0, deep.1
                )
            }),
            ("details in a list of bodies", 400, &|d| {
                format!("[{{\"details\":{d}}}]")
            }),
            ("details behind a byte-order mark", 400, &|d| {
                format!("\u{feff}{{\"details\":{d}}}")
            }),
            ("details alone", 400, &str::to_owned),
            ("details with half a pair", 400, &|d| {
                format!("{{\"name\":\"\\ud800\",\"type\":\"K\",\"details\":{d}}}")
            }),
            ("details with a control character", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"\u{1}\",\"details\":{d}}}")
            }),
            ("details in a body that is too long", 413, &|d| {
                format!("{{\"details\":{d},\"x\":\"{wide}\"}}")
            }),
        ];
        for (what, status, write) in create {
            let (_, details) = self.details(what);
            self.call("connections/create", &write(&details), status)?;
        }
        let others: [(&str, &str, u16, Write<'_>); 8] = [
            ("a cursor", "connections/list", 400, &|s| format!("{{\"cursor\":{s}}}")),
            ("a limit", "connections/list", 400, &|s| format!("{{\"limit\":{s}}}")),
            ("a workspace's id", "connections/list", 400, &|s| {
                format!("{{\"workspace_id\":{s}}}")
            }),
            ("an id", "connections/get_by_id", 400, &|s| format!("{{\"id\":{s}}}")),
            // A name by itself is no secret: the audit trail has those that were asked for.
            ("something in a name's place", "connections/get", 400, &|s| {
                format!("{{\"name\":{{\"password\":{s}}}}}")
            }),
            ("a flag", "connections/get", 400, &|s| {
                format!("{{\"name\":\"n\",\"details\":{s}}}")
            }),
            (
                "something in the place of a name to delete",
                "connections/delete",
                400,
                &|s| format!("{{\"name\":[{s}]}}"),
            ),
            ("a connection to attach", "connections/add_to_workspace", 400, &|s| {
                format!("{{\"workspace_id\":1,\"connection_id\":{s}}}")
            }),
        ];
        for (what, operation, status, write) in others {
            let secret = serde_json::to_string(&self.canaries.fresh(what))?;
            self.call(operation, &write(&secret), status)?;
        }
        Ok(())
    }

    fn wrong_heads(&mut self) -> anyhow::Result<()> {
        let (_, details) = self.details("details of another content type");
        let request = self.request("connections/create", "content-type: text/plain\r\n", &details);
        self.expect(&request, 415)?;
        let subtype = self.canaries.fresh_token("a content type");
        let request = self.request("connections/create", &format!("content-type: text/{subtype}\r\n"), "{}");
        self.expect(&request, 415)?;
        let (_, details) = self.details("details to no path");
        self.call("connections/createe", &details, 404)?;
        let path = self.canaries.fresh_token("a path");
        self.call(&path, "{}", 404)?;
        let query = self.canaries.fresh_token("a token in the query");
        self.call(
            &format!("connections/get?access_token={query}"),
            "{\"name\":\"n\"}",
            404,
        )?;
        let (_, details) = self.details("details by another method");
        let request = self.request("connections/create", "", &details);
        let put = [b"PUT", request.get(4..).unwrap_or_default()].concat();
        self.expect(&put, 405)?;
        let cookie = self.canaries.fresh_token("a cookie");
        let header = self.canaries.fresh_token("a token in another header");
        let headers = format!("cookie: a={cookie}\r\nx-api-key: {header}\r\n");
        let request = self.request("connections/get", &headers, "{\"name\":\"n\"}");
        self.expect(&request, 404)?;
        Ok(())
    }

    /// Refused where tokens are asked for, and not looked at where none are.
    fn wrong_tokens(&mut self) -> anyhow::Result<()> {
        let forms = [
            "authorization: Bearer {}\r\n",
            "authorization: bearer  {}==\r\n",
            "authorization: Bearer a{}.b.c\r\n",
            "authorization: Bearer patchbay_{}\r\n",
            "authorization: Basic {}\r\n",
            "authorization: {}\r\n",
            "authorization: Bearer {} x\r\n",
            "authorization: Bearer {}\r\nauthorization: Bearer x\r\n",
            "authorization: Bearer,{}\r\n",
            "authorization: Bearer \u{e9}{}\r\n",
            "proxy-authorization: Bearer {}\r\n",
            "x-authorization: Bearer {}\r\n",
        ];
        for form in forms {
            let token = self.canaries.fresh_token(form.trim_end());
            let (_, details) = self.details("details with a wrong token");
            let request = self.post("connections/get", &form.replace("{}", &token), &details);
            self.send(&request)?;
        }
        Ok(())
    }

    /// Requests that are no whole ones. A home may close the connection on them without a word.
    fn broken_off(&mut self) -> anyhow::Result<()> {
        let (_, details) = self.details("details of half a body");
        let whole = self.request("connections/create", "", &details);
        self.break_off(whole.get(..whole.len() - details.len() / 2).unwrap_or_default())?;
        let chunked = format!("{}transfer-encoding: chunked\r\n", self.bearer());
        let (_, details) = self.details("details in chunks that are none");
        let request = self.head("connections/create", &chunked) + &format!("zz\r\n{details}\r\n");
        self.send(request.as_bytes())?;
        let (_, details) = self.details("details in chunks that are too many");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let first = format!("{:x}\r\n{details}\r\n", details.len());
        // Whole: who reads it to its end before it answers waits for one.
        let request = self.head("connections/create", &chunked) + &first + &chunk.repeat(9) + "0\r\n\r\n";
        self.send(request.as_bytes())?;
        let (_, details) = self.details("details behind a byte that is no text");
        let mut request = self.request("connections/create", "", &format!("?{details}"));
        let place = request.len() - details.len() - 1;
        request.iter_mut().skip(place).take(1).for_each(|byte| *byte = 0xff);
        self.expect(&request, 400)?;
        for garbage in ["{} HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n{}\r\n\r\n", "{}\r\n\r\n"] {
            let token = self.canaries.fresh_token("a head that is none");
            self.break_off(garbage.replace("{}", &token).as_bytes())?;
        }
        let token = self.canaries.fresh_token("a head that is too long");
        let headers = format!("authorization: Bearer {token}{}\r\n", "x".repeat(40_000));
        let request = self.post("connections/get", &headers, "{}");
        self.send(&request)?;
        Ok(())
    }

    /// Calls an operation as somebody who is let in.
    fn call(&mut self, operation: &str, body: &str, status: u16) -> anyhow::Result<String> {
        let request = self.request(operation, "", body);
        self.expect(&request, status)
    }

    /// A request by somebody who is let in.
    fn request(&mut self, operation: &str, headers: &str, body: &str) -> Vec<u8> {
        let headers = self.bearer() + headers;
        self.post(operation, &headers, body)
    }

    fn bearer(&mut self) -> String {
        match (self.token)() {
            Some(token) => format!("authorization: Bearer {token}\r\n"),
            None => String::new(),
        }
    }

    fn post(&self, operation: &str, headers: &str, body: &str) -> Vec<u8> {
        let length = format!("content-length: {}\r\n", body.len());
        (self.head(operation, &(headers.to_owned() + &length)) + body).into_bytes()
    }

    fn head(&self, operation: &str, headers: &str) -> String {
        let host = self.authority;
        format!("POST /v1/api/{operation} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n")
    }

    /// Sends a request whose answer may show no secret, and is of this status.
    fn expect(&mut self, request: &[u8], status: u16) -> anyhow::Result<String> {
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
        self.shown.extend_from_slice(answer.as_bytes());
        Ok((answer, status))
    }

    /// Sends the beginning of something, and no more.
    fn break_off(&mut self, request: &[u8]) -> anyhow::Result<()> {
        let (answer, _) = self.exchange(request, true)?;
        self.shown.extend_from_slice(answer.as_bytes());
        Ok(())
    }

    /// The answer as it comes, and its status.
    fn exchange(&mut self, request: &[u8], ends: bool) -> anyhow::Result<(String, Option<u16>)> {
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
            *self.statuses.entry(status).or_default() += 1;
        }
        Ok((answer, status))
    }
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
