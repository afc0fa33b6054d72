//! Adoption where each tenant is kept apart, so that no transaction sees both.
//!
//! What is given away is frozen where it is, copied to where it will be, and handed over there in one transaction; then it
//! is taken away where it was. So all of it is adopted, or nothing, and what was acknowledged before is not lost. Whoever
//! breaks it off runs it again, and it goes on.
//!
//! Only the last run that froze may decide: one that finds itself in the freeze, and thereafter expected where it copies
//! to. For another one to end the freeze in between, it must have been in both since; and who is expected no more never is
//! again.

use std::convert::Infallible;
use std::future::Future;

use serde::{Deserialize, Serialize};

use super::{Adopted, Conflicts, NewOwner};
use crate::model::{AttachmentId, Member, Record, Subject, Tenant, Workspace, WorkspaceId};
use crate::rotation::{Place, Step};
use crate::store::StoreError;

/// One run of an adoption, by random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which adoption it is: that of one freeze, for as many runs as it takes.
    pub adoption: u64,
    /// Which run.
    pub run: u64,
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

/// What an adoption asks where one tenant is kept. Each may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Where things are given away: to refuse every change from now on, until [`Self::Leave`] has done with it or
    /// [`Self::Thaw`]. The run is the first, unless the adoption is under way; those before it come to nothing any more.
    /// Told [`Told::Frozen`], or [`Told::UnderWay`] where the adoption by somebody else is.
    Freeze(NewOwner, Run),
    /// There: whose adoption is under way. Told [`Told::UnderWay`].
    Begun,
    /// There: for what is given away, after this place: at most so many parts, and no more than
    /// [`RESEALED_BYTES`](crate::limits::RESEALED_BYTES), but one where it alone has more. Told [`Told::Parts`].
    Leaving(Option<Place>, u16),
    /// There: for what is in the way, to another tenant or not, and how much there is. Told
    /// [`Told::InTheWay`], with nothing where this run has no freeze; a rehearsal needs none.
    Conflicts(Option<Run>, bool),
    /// There: to take away some of what was adopted, and to end the freeze with the last of it. Told [`Told::Yes`] where
    /// there is more.
    Leave(Run),
    /// There: to end the freeze, unless another run has begun since. Told [`Told::Done`].
    Thaw(Run),
    /// Where they come: to make room for what arrives, if this run never had any; what has arrived for others goes, whom
    /// nothing is expected of any more. A rehearsal makes none where a run that is none has it. Told [`Told::Adopted`].
    Expect(Run, bool),
    /// There: to keep these, where nobody sees them yet, with connections sealed for the new owner. Told [`Told::Yes`] where
    /// there is room for them.
    Arrive(Run, Vec<Part>),
    /// There: to hand over what has arrived, all of it and for good, unless something is in the way, this or more, or it is
    /// not so many connections; or to keep nothing of it, for a rehearsal. What is not kept is gone. Told [`Told::Decided`].
    Decide(NewOwner, Run, InTheWay, bool),
    /// There: to drop what has arrived for this run, of which nothing is expected any more. Told [`Told::Adopted`].
    Forget(Run),
}

impl Ask {
    /// Whether it can change anything.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Begun | Self::Leaving(..) | Self::Conflicts(..))
    }
}

/// What is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// It is done.
    Done,
    /// Whether it is so.
    Yes(bool),
    /// It is frozen, for this run.
    Frozen(Run),
    /// Whose adoption is under way.
    UnderWay(Option<NewOwner>),
    /// Parts, in the order in which they are to arrive.
    Parts(Step<Vec<Part>>),
    /// What is in the way.
    InTheWay(Option<InTheWay>),
    /// What the adoption came to, where it is decided.
    Adopted(Option<Adopted>),
    /// What became of it.
    Decided(Decided),
}

/// What there is where things are given away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InTheWay {
    /// What is in the way.
    pub conflicts: Conflicts,
    /// Connections.
    pub connections: u64,
    /// Whether there is more than one transaction is sure to take.
    pub too_much: bool,
}

/// What became of an adoption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decided {
    /// All of it is the new owner's.
    Adopted(Adopted),
    /// Nothing is: it cannot be, for this reason.
    Refused(String),
    /// Nothing is: another run came between, or this one was decided before; or what it rehearses has changed beside it.
    Overtaken,
}

/// What an adoption takes of a store whose tenants are apart.
pub trait Apart {
    /// Asks where this tenant is kept.
    fn ask(&self, tenant: &Tenant, ask: Ask) -> impl Future<Output = Result<Told, StoreError>>;
}

/// Of a store that lends nothing: there is no value of this type.
impl Apart for Infallible {
    async fn ask(&self, _: &Tenant, _: Ask) -> Result<Told, StoreError> {
        match *self {}
    }
}
