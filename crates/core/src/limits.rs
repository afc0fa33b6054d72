//! Every limit of size, count and depth, with its reason. The source is the contract unless another is named.

/// Requests that wait for an issuer's keys at a time; others are judged by what is known, which may be nothing (503). Whoever
/// sends a token makes its request wait, right or wrong, with a head of some 24 KiB.
pub const WAITING_FOR_KEYS: usize = 256;

/// Bytes of a request's body: twice the details, so that any escaping of the rest fits.
pub const BODY_BYTES: usize = 512 * 1024;
/// Bytes of `details` as sent.
pub const DETAILS_BYTES: usize = 256 * 1024;
/// Levels of nesting in a body, its own object being the first.
pub const JSON_DEPTH: usize = 64;
/// Bytes of a connection's or a workspace's name.
pub const NAME_BYTES: usize = 255;
/// Bytes of a connection's type.
pub const TYPE_BYTES: usize = 64;
/// Bytes of a tenant's name.
pub const TENANT_BYTES: usize = 128;
/// Bytes of a subject or an e-mail address.
pub const SUBJECT_BYTES: usize = 255;
/// Bytes of a bearer token.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// Bits of an RSA key that tokens may be signed with: fewer can be broken, and more make verifying slow.
pub const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// Microseconds that an issuer's clock may be off: a minute.
pub const LEEWAY_MICROS: i64 = 60_000_000;
/// Microseconds for which a verified token counts without being verified again: a minute, as short as a removed key may
/// still count.
pub const REMEMBERED_MICROS: i64 = 60_000_000;
/// Tokens that may be remembered so: more callers than one process has within a minute, in a few MB.
pub const REMEMBERED_TOKENS: usize = 4_096;
/// Bytes of what an issuer answers: key sets and discovery documents take a few KiB.
pub const ISSUER_BYTES: usize = 1024 * 1024;
/// Seconds that an issuer has for an answer.
pub const ISSUER_SECONDS: u64 = 5;
/// Seconds in which an issuer is asked for its keys once at most, whatever tokens arrive.
pub const ISSUER_PAUSE_SECONDS: i64 = 30;
/// How often that pause doubles while an issuer fails whose keys are known: up to four minutes.
pub const ISSUER_PAUSE_DOUBLINGS: u32 = 3;
/// Seconds that an issuer's keys are fresh, whatever its `max-age` says: neither a question for each token, nor keys
/// that were withdrawn long ago.
pub const KEYS_FRESH_SECONDS: std::ops::RangeInclusive<i64> = 300..=21_600;
/// Seconds that they are fresh where it does not say.
pub const KEYS_FRESH_UNSAID_SECONDS: i64 = 3_600;
/// Seconds that they count without another answer of their issuer: a day, so that its bad night stops nobody.
pub const KEYS_KNOWN_SECONDS: i64 = 86_400;
/// The largest workspace id: what a JSON number carries exactly everywhere (2^53 - 1).
pub const WORKSPACE_ID: u64 = (1 << 53) - 1;
/// When something may have been made, in microseconds since 1970: no home existed before, and past 2^53 - 1, in the
/// year 2255, a Durable Object's integers are no longer exact.
pub const CREATED_AT_MICROS: std::ops::RangeInclusive<i64> = 0..=(1 << 53) - 1;
/// Workspaces that one connection may be attached to.
pub const WORKSPACES_PER_CONNECTION: usize = 256;
/// Members that one workspace may have.
pub const MEMBERS_PER_WORKSPACE: usize = 1_000;
/// Workspaces that one person may be in.
pub const WORKSPACES_PER_PERSON: usize = 256;
/// The largest `limit` of a page.
pub const PAGE: u16 = 1_000;
/// The `limit` of a page that is asked for by `cursor` alone.
pub const DEFAULT_PAGE: u16 = 100;
/// The most records that one batch of a rotation of keys seals again.
pub const RESEALED: u16 = 1_000;
/// Sealed bytes that one such batch reads at most, if that is more than one record: all are in memory twice, and are
/// written in one transaction where a store writes them together.
pub const RESEALED_BYTES: usize = 4 * 1024 * 1024;
/// Microseconds after which an operator's call that goes over many records begins no further step, of which none takes more
/// than a few seconds: far below what anybody in between waits (29 s behind API Gateway).
pub const WALK_MICROS: i64 = 5_000_000;
/// Steps that such a call begins at most. A step of the Worker's store makes up to six requests to Durable Objects, and
/// Cloudflare's free plan allows 50 for one call.
pub const WALK_STEPS: usize = 8;
/// Connections, attachments, workspaces and members, in all, that are handed over in one transaction of a Durable Object:
/// far less than the 30 seconds allow that Cloudflare gives it.
pub const ADOPTED_APART: usize = 20_000;
/// Bytes of sealed details of theirs.
pub const ADOPTED_APART_BYTES: usize = 256 * 1024 * 1024;
/// Workspaces that the 409 of `delete` names before "and N more".
pub const WORKSPACES_NAMED: usize = 20;
/// Characters of a caller's `x-request-id`.
pub const REQUEST_ID: usize = 128;
