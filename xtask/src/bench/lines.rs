//! Connections as lines of an export, the fastest way to store many.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::run::command;

/// The tenant of everything here: that of a server without authentication.
pub const TENANT: &str = "default";
/// Who is a member of the workspaces of [`Contents::Shared`].
pub const MEMBER: &str = "member";
/// Connections that the member sees.
const SEEN: usize = 1_000;
/// Workspaces that these are in, evenly.
const WORKSPACES: usize = 50;

/// What is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Connections alone.
    Plain,
    /// 1,000 of them, evenly chosen, are in 50 workspaces that [`MEMBER`] is in.
    Shared,
}

/// The name of a connection.
pub fn name(number: usize) -> String {
    format!("connection-{number:07}")
}

/// Makes a data folder with `count` connections of 1 KiB of details.
pub fn import(patchbay: &Path, data: &Path, contents: Contents, count: usize) -> anyhow::Result<()> {
    let mut child = command(patchbay)
        .args(["import", "--data"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let written = write(
        BufWriter::new(child.stdin.take().context("the input is not piped")?),
        contents,
        count,
    );
    let status = child.wait()?;
    ensure!(status.success(), "patchbay import ended with {status}");
    Ok(written?)
}

fn write(mut to: impl Write, contents: Contents, count: usize) -> std::io::Result<()> {
    let workspaces = if contents == Contents::Shared { WORKSPACES } else { 0 };
    let secret = json!({"secret": "x".repeat(1024 - json!({"secret": ""}).to_string().len())}).to_string();
    writeln!(to, "{}", json!({"format": "patchbay-export", "version": 1}))?;
    if workspaces > 0 {
        writeln!(
            to,
            "{}",
            json!({"kind": "counter", "tenant": TENANT, "last": workspaces})
        )?;
    }
    for id in 1..=workspaces {
        let line = json!({
            "kind": "workspace", "tenant": TENANT, "id": id, "name": format!("room-{id}"), "created_by": MEMBER,
            "created_at": 0, "members": [{"user_id": MEMBER, "role": "OWNER"}],
        });
        writeln!(to, "{line}")?;
    }
    let every = count / SEEN;
    for number in 0..count {
        let shared = workspaces > 0 && number % every == 0;
        let attachments = if shared {
            json!([{"workspace_id": 1 + number / every % WORKSPACES, "id": id("attachment", number)}])
        } else {
            json!([])
        };
        let line = json!({
            "kind": "connection", "tenant": TENANT, "id": id("connection", number), "name": name(number),
            "type": "KAFKA", "owner": "anonymous", "created_at": 0, "details": secret, "attachments": attachments,
        });
        writeln!(to, "{line}")?;
    }
    let counters = usize::from(workspaces > 0);
    let last = json!({"kind": "end", "counters": counters, "workspaces": workspaces, "connections": count});
    writeln!(to, "{last}")?;
    to.flush()
}

/// A UUID that looks as random as the product's own, so that the index over them is as scattered.
fn id(kind: &str, number: usize) -> String {
    let digest = Sha256::digest(format!("{kind} {number}"));
    let mut hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    for at in [8, 13, 18, 23] {
        hex.insert(at, '-');
    }
    hex
}
