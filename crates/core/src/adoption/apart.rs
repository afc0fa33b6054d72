//! Adoption where each tenant is kept apart, so that no transaction sees both.
//!
//! What is given away is frozen where it is, copied to where it will be, and handed over there in one transaction; then it
//! is taken away where it was. So all of it is adopted, or nothing, and what was acknowledged before is not lost. Whoever
//! breaks it off runs it again, and it goes on.

use std::convert::Infallible;
use std::future::Future;

use serde::{Deserialize, Serialize};

use super::{Adopted, NewOwner};
use crate::model::{AttachmentId, Member, Record, Subject, Workspace, WorkspaceId};
use crate::rotation::{Place, Step};
use crate::store::StoreError;

/// One run of an adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which adoption it is: that of one freeze, for as many runs as it takes.
    pub adoption: u128,
    /// Which run.
    pub run: u128,
}

impl Run {
    /// The first of an adoption, with this random number.
    pub fn first(number: u128) -> Self {
        Self {
            adoption: number,
            run: number,
        }
    }
}

/// Part of what is given away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The last id that the tenant's counter of workspaces gave.
    Counter(WorkspaceId),
    /// A workspace, and its members with the e-mail address that is kept beside them.
    Workspace(Workspace, Vec<(Member, Option<Subject>)>),
    /// A connection, and its attachments to workspaces that are given away.
    Connection(Record, Vec<(WorkspaceId, AttachmentId)>),
}

/// How an adoption begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begun {
    /// Nobody changes anything where it is given away, until it has ended.
    Frozen(Run),
    /// The adoption by somebody else has begun, and is to be ended first.
    Other(NewOwner),
}

/// What became of an adoption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decided {
    /// All of it is the new owner's.
    Adopted(Adopted),
    /// Nothing is: it cannot be, for this reason.
    Refused(String),
    /// Nothing is: another run came between.
    Overtaken,
}

/// What an adoption takes of a store whose tenants are apart. Each call may be repeated.
pub trait Apart {
    /// Freezes the tenant whose things are given away: until [`Self::leave`] or [`Self::give_up`] it refuses every change.
    /// `run` is the first, unless the adoption is under way; those before it come to nothing any more.
    fn freeze(&self, to: &NewOwner, run: Run) -> impl Future<Output = Result<Begun, StoreError>>;

    /// Whose adoption is under way.
    fn begun(&self) -> impl Future<Output = Result<Option<NewOwner>, StoreError>>;

    /// What the adoption came to, where it is decided.
    fn adopted(&self, to: &NewOwner, run: Run) -> impl Future<Output = Result<Option<Adopted>, StoreError>>;

    /// Makes room for what arrives, if there is none for this run yet: what has arrived for others goes. Says what the
    /// adoption came to, where that is decided; then nothing is expected any more.
    fn expect(&self, to: &NewOwner, run: Run) -> impl Future<Output = Result<Option<Adopted>, StoreError>>;

    /// Walks over what is given away: at most `most` parts, and no more than
    /// [`RESEALED_BYTES`](crate::limits::RESEALED_BYTES), but one where it alone has more.
    fn leaving(&self, after: Option<Place>, most: u16) -> impl Future<Output = Result<Step<Vec<Part>>, StoreError>>;

    /// Keeps what has arrived, with its connections sealed for the new owner; nobody sees it yet. Says whether there is
    /// room for it still.
    fn arrive(&self, to: &NewOwner, run: Run, parts: Vec<Part>) -> impl Future<Output = Result<bool, StoreError>>;

    /// Hands over what has arrived, all of it and for good. A `rehearsal`, which has no freeze, keeps nothing of it. After
    /// it, and where it is refused, what has arrived is gone.
    fn decide(&self, to: &NewOwner, run: Run, rehearsal: bool) -> impl Future<Output = Result<Decided, StoreError>>;

    /// Takes away some of what was adopted where it was, and ends the freeze with the last of it. Says whether there is
    /// more.
    fn leave(&self, run: Run) -> impl Future<Output = Result<bool, StoreError>>;

    /// Ends an adoption that is not decided, and its freeze, unless another run has begun since. Says what it came to where
    /// it is decided: then it does nothing.
    fn give_up(&self, to: &NewOwner, run: Run) -> impl Future<Output = Result<Option<Adopted>, StoreError>>;
}

/// Of a store that lends nothing: there is no value of this type.
impl Apart for Infallible {
    async fn freeze(&self, _: &NewOwner, _: Run) -> Result<Begun, StoreError> {
        match *self {}
    }

    async fn begun(&self) -> Result<Option<NewOwner>, StoreError> {
        match *self {}
    }

    async fn adopted(&self, _: &NewOwner, _: Run) -> Result<Option<Adopted>, StoreError> {
        match *self {}
    }

    async fn expect(&self, _: &NewOwner, _: Run) -> Result<Option<Adopted>, StoreError> {
        match *self {}
    }

    async fn leaving(&self, _: Option<Place>, _: u16) -> Result<Step<Vec<Part>>, StoreError> {
        match *self {}
    }

    async fn arrive(&self, _: &NewOwner, _: Run, _: Vec<Part>) -> Result<bool, StoreError> {
        match *self {}
    }

    async fn decide(&self, _: &NewOwner, _: Run, _: bool) -> Result<Decided, StoreError> {
        match *self {}
    }

    async fn leave(&self, _: Run) -> Result<bool, StoreError> {
        match *self {}
    }

    async fn give_up(&self, _: &NewOwner, _: Run) -> Result<Option<Adopted>, StoreError> {
        match *self {}
    }
}
