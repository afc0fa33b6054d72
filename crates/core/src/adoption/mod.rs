//! Adoption: what was stored while authentication was off, given to somebody. Here is what is the same in every store.

pub mod apart;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::Host;
use crate::identity::Authentication;
use crate::limits;
use crate::model::{Caller, ConnectionId, Member, Name, Person, Record, Role, Subject, Tenant, WorkspaceId};
use crate::seal::{Draft, KeyRing, OpenError};

/// Conflicts that are named; further ones are counted.
const NAMED: usize = 20;

/// Who gets what `anonymous` of the tenant `default` has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewOwner {
    /// Their tenant.
    pub tenant: Tenant,
    /// Who they are in it.
    pub subject: Subject,
}

impl NewOwner {
    /// Who has it now.
    ///
    /// # Errors
    /// [`Refusal::NobodyElse`].
    pub fn previous(&self) -> Result<Caller, Refusal> {
        let from = Authentication::anonymous();
        match from.tenant == self.tenant && from.subject == self.subject {
            true => Err(Refusal::NobodyElse),
            false => Ok(from),
        }
    }

    /// What becomes of a record of the tenant `from`. Its details are sealed anew, with the ring's first key, since they are
    /// bound to tenant and owner; all else stays.
    ///
    /// # Errors
    /// [`Refusal::Sealed`].
    pub fn record(&self, ring: &KeyRing, host: &impl Host, from: &Tenant, record: Record) -> Result<Record, Refusal> {
        let id = record.id;
        let details = ring.open(from, &record);
        let details = details.map_err(|error| Refusal::Sealed { id, error })?;
        let draft = Draft {
            id,
            name: record.name,
            connection_type: record.connection_type,
            owner: self.subject.clone(),
            created_at: record.created_at,
        };
        Ok(ring.seal(host, &self.tenant, draft, &details))
    }
}

/// What was adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Adopted {
    /// Connections, each with its attachments.
    pub connections: u64,
    /// Workspaces, each with its members.
    pub workspaces: u64,
    /// How many of the workspaces had no room for the new owner, or they are in as many as there can be.
    pub left_out: u64,
}

/// Why nothing is adopted, in a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is nobody to give anything to.
    #[error("`anonymous` of the tenant `default` is who has it now: name another owner")]
    NobodyElse,
    /// The tenant has, or is not to have, some of it.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// There is more than one transaction is sure to take.
    #[error(
        "there are more than {most} connections, attachments, workspaces and members, or more than {mib} MiB of sealed \
         details",
        most = limits::ADOPTED_APART,
        mib = limits::ADOPTED_APART_BYTES >> 20
    )]
    TooMuch,
    /// A connection's details do not open, so that they cannot be sealed for another owner.
    #[error(
        "connection {id}: {error}; put a key that is missing back into the ring, and delete what is \
         damaged, or restore it from a backup"
    )]
    Sealed {
        /// The connection.
        id: ConnectionId,
        /// Why.
        error: OpenError,
    },
}

/// Something in an adoption's way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// A connection's name is another's.
    #[error("{tenant} has a connection `{name}` of its own")]
    ConnectionName {
        /// The tenant that was to have it.
        tenant: Tenant,
        /// The name.
        name: Name,
    },
    /// A workspace's id is another's.
    #[error("{tenant} has a workspace with the id of {id} (`{name}`)")]
    WorkspaceId {
        /// The tenant that was to have it.
        tenant: Tenant,
        /// The id.
        id: WorkspaceId,
        /// Its name.
        name: Name,
    },
    /// A workspace's name is another's.
    #[error("{tenant} has a workspace with the name of {id} (`{name}`)")]
    WorkspaceName {
        /// The tenant that was to have it.
        tenant: Tenant,
        /// Its id.
        id: WorkspaceId,
        /// The name.
        name: Name,
    },
    /// An attachment would come to have one side in each tenant.
    #[error("only one of the connection `{name}` and the workspace {workspace}, which it is in, is anonymous's")]
    Parted {
        /// The connection.
        name: Name,
        /// The workspace.
        workspace: WorkspaceId,
    },
    /// A member of the workspaces would be in too many.
    #[error("{0} would be in more than {most} workspaces", most = limits::WORKSPACES_PER_PERSON)]
    Crowded(Subject),
}

/// What stands in an adoption's way: the first in words each, and how many more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conflicts {
    named: Vec<String>,
    more: u64,
}

impl Conflicts {
    /// One more.
    pub fn add(&mut self, conflict: Conflict) {
        if self.named.len() < NAMED {
            self.named.push(conflict.to_string());
        } else {
            self.more += 1;
        }
    }

    /// That there are none.
    ///
    /// # Errors
    /// [`Refusal::Conflicts`].
    pub fn none(self) -> Result<(), Refusal> {
        match self.named.is_empty() {
            true => Ok(()),
            false => Err(Refusal::Conflicts(self)),
        }
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, conflict) in self.named.iter().enumerate() {
            let before = if place == 0 { "" } else { "; " };
            write!(f, "{before}{conflict}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// How the new owner comes into a workspace that is adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// They stay what they are there, which may be nothing.
    Stays,
    /// They get this role.
    Gets(Role),
    /// There is no room for them, or they are in as many workspaces as there can be.
    NoRoom,
}

/// Puts the new owner in the place of `left`, who goes, and makes them an OWNER where there is no other, as far as the limits
/// allow: of all the workspace's `members`, and where the new owner is in `among` workspaces already.
pub fn succession(members: &[Member], left: &Person, new: &Person, among: usize) -> Succession {
    let role_of = |person: &Person| {
        let found = members.iter().find(|member| member.person == *person);
        found.map(|member| member.role)
    };
    let (place, own) = (role_of(left), role_of(new));
    let mut others = members.iter().filter(|member| member.person != *left);
    let due = match others.any(|member| member.role == Role::Owner) {
        true => place,
        false => Some(Role::Owner),
    };
    let Some(due) = due.filter(|_| own != Some(Role::Owner)) else {
        return Succession::Stays;
    };
    let others = members.len() - usize::from(place.is_some());
    let full = among >= limits::WORKSPACES_PER_PERSON || others >= limits::MEMBERS_PER_WORKSPACE;
    match own.is_none() && full {
        true => Succession::NoRoom,
        false => Succession::Gets(due),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(subject: &str) -> Person {
        Person::Subject(Subject::new(subject).unwrap())
    }

    /// What becomes of `ann`, among so many workspaces, where `anonymous` goes.
    fn of_ann(members: &[(&str, Role)], among: usize) -> Succession {
        let members: Vec<_> = members
            .iter()
            .map(|(subject, role)| Member {
                person: person(subject),
                role: *role,
            })
            .collect();
        succession(&members, &person("anonymous"), &person("ann"), among)
    }

    #[test]
    fn the_new_owner_takes_the_place_that_is_left_and_owns_what_nobody_else_does() {
        use Role::{Collaborator, Owner};
        use Succession::{Gets, Stays};
        for (members, expected) in [
            (&[][..], Gets(Owner)),
            (&[("anonymous", Owner)], Gets(Owner)),
            (&[("anonymous", Collaborator)], Gets(Owner)),
            (&[("bob", Collaborator)], Gets(Owner)),
            (&[("bob", Owner)], Stays),
            (&[("anonymous", Owner), ("bob", Owner)], Gets(Owner)),
            (&[("anonymous", Collaborator), ("bob", Owner)], Gets(Collaborator)),
            (&[("ann", Owner), ("anonymous", Owner)], Stays),
            (&[("ann", Owner), ("anonymous", Collaborator)], Stays),
            (&[("ann", Collaborator), ("anonymous", Owner)], Gets(Owner)),
            (&[("ann", Collaborator)], Gets(Owner)),
            (&[("ann", Collaborator), ("bob", Owner)], Stays),
        ] {
            assert_eq!(of_ann(members, 0), expected, "{members:?}");
        }
    }

    #[test]
    fn whoever_is_no_member_becomes_none_past_the_limits() {
        let most = limits::WORKSPACES_PER_PERSON;
        assert_eq!(of_ann(&[], most - 1), Succession::Gets(Role::Owner));
        assert_eq!(of_ann(&[], most), Succession::NoRoom);
        let inside = [("ann", Role::Collaborator)];
        assert_eq!(of_ann(&inside, most), Succession::Gets(Role::Owner));

        let names: Vec<_> = (0..limits::MEMBERS_PER_WORKSPACE).map(|n| format!("m{n}")).collect();
        let mut members: Vec<_> = names.iter().map(|name| (name.as_str(), Role::Collaborator)).collect();
        assert_eq!(of_ann(&members, 0), Succession::NoRoom);
        members[0].0 = "anonymous";
        assert_eq!(of_ann(&members, 0), Succession::Gets(Role::Owner));
    }
}
