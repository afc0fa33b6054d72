//! What a Worker asks a Durable Object, and what it is told: a byte for the version, then postcard.
//!
//! An answer is the `Result` that [`Store`](patchbay_core::store::Store),
//! [`Sealings`](patchbay_core::rotation::Sealings) or [`Apart`](patchbay_core::adoption::apart::Apart) gives for what is
//! asked for. A deploy runs two versions side by side for
//! some seconds. Where one does not understand the other the request is refused as unavailable, and nothing was done, or
//! for an answer that is not understood, it may have been done.

use patchbay_core::adoption::apart as adoption;
use patchbay_core::model::{Caller, ConnectionId, Name, Person, Record, Tenant, Timestamp, WorkspaceId};
use patchbay_core::rotation::{Place, Replacement, Wanted};
use patchbay_core::store::{AddMember, Attach, ListQuery, Lookup, StoreError, WorkspacesOf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of messages, both ways. It rises when anything in them changes, the core's nouns included.
const VERSION: u8 = 5;

/// What a tenant's object is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskTenant {
    /// On a caller's behalf.
    Store(Ask),
    /// On nobody's behalf: about all that this tenant has.
    Sealings(Tenant, OfSealings),
    /// On nobody's behalf: for an adoption, from this tenant or into it. Told a [`Told`](adoption::Told).
    Adoption(Tenant, adoption::Ask),
}

impl AskTenant {
    /// Whose object it is for.
    pub fn tenant(&self) -> &Tenant {
        match self {
            Self::Store(ask) => &ask.caller.tenant,
            Self::Sealings(tenant, _) | Self::Adoption(tenant, _) => tenant,
        }
    }

    /// Whether it can change anything.
    pub fn writes(&self) -> bool {
        match self {
            Self::Store(ask) => ask.operation.writes(),
            Self::Sealings(_, OfSealings::Count | OfSealings::Sealed(..)) => false,
            Self::Sealings(_, OfSealings::Replace(_)) => true,
            Self::Adoption(_, ask) => ask.writes(),
        }
    }
}

/// One operation of [`Sealings`](patchbay_core::rotation::Sealings), within one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OfSealings {
    /// `count_sealed`, in one step: told a [`Counted`](patchbay_core::rotation::Counted) alone.
    Count,
    /// `sealed`.
    Sealed(Wanted, Option<Place>, u16),
    /// `replace_sealed`.
    Replace(Vec<Replacement>),
}

/// An operation, and who asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks.
    pub caller: Caller,
    /// For what.
    pub operation: Operation,
}

/// One operation of [`Store`](patchbay_core::store::Store).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// `create`.
    Create(Record),
    /// `get`.
    Get(Lookup),
    /// `list`.
    List(ListQuery),
    /// `attach`.
    Attach(Attach),
    /// `detach`.
    Detach(ConnectionId, WorkspaceId),
    /// `delete`.
    Delete(Name),
    /// `create_workspace`.
    CreateWorkspace(Name, Timestamp),
    /// `list_workspaces`.
    ListWorkspaces(WorkspacesOf, usize),
    /// `add_member`.
    AddMember(AddMember),
    /// `members`.
    Members(WorkspaceId),
    /// `remove_member`.
    RemoveMember(WorkspaceId, Person),
}

impl Operation {
    fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Get(_) | Self::List(_) | Self::ListWorkspaces(..) | Self::Members(_)
        )
    }
}

/// What the directory is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskDirectory {
    /// Whether it answers: told `()`.
    Ready,
    /// To list this tenant from now on: told `()`.
    Enter(Tenant),
    /// For up to so many tenants after this one, in byte order: told a `Vec<Tenant>`.
    Tenants(Option<Tenant>, u16),
}

/// A message in bytes.
pub fn encode(message: &impl Serialize) -> Vec<u8> {
    // Nothing in a message can refuse to be written: it has no map of unknown length, and memory grows.
    postcard::to_extend(message, vec![VERSION]).unwrap_or_default()
}

/// The message in these bytes.
///
/// # Errors
/// [`StoreError::Unavailable`] where another version of the program wrote them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    match postcard::take_from_bytes(of_this_version(bytes)?) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(unreadable(format_args!("has {} bytes too many", rest.len()))),
        Err(error) => Err(unreadable(format_args!("cannot be read: {error}"))),
    }
}

fn of_this_version(bytes: &[u8]) -> Result<&[u8], StoreError> {
    match bytes.split_first() {
        Some((&VERSION, message)) => Ok(message),
        Some((version, _)) => Err(unreadable(format_args!(
            "has version {version}, and {VERSION} is understood: a deploy is under way"
        ))),
        None => Err(unreadable(format_args!("is empty"))),
    }
}

/// Out of line: there is a [`decode`] for every kind of message.
#[inline(never)]
fn unreadable(why: std::fmt::Arguments<'_>) -> StoreError {
    StoreError::Unavailable(format!("a message {why}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use patchbay_core::adoption::apart::{Decided, InTheWay, Part, Run, Told};
    use patchbay_core::adoption::{Adopted, NewOwner};
    use patchbay_core::model::{Attached, AttachmentId, KeyId, Member, Role, Sealed, Subject, Workspace, Workspaces};
    use patchbay_core::rotation::{Counted, Held, Step, Unreadable};
    use patchbay_core::store::{AttachOutcome, DeleteOutcome, MembersOutcome};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn caller() -> Caller {
        Caller {
            tenant: Tenant::new("t").unwrap(),
            subject: Subject::new("s").unwrap(),
            email: Some(Subject::new("e").unwrap()),
            admin: true,
        }
    }

    fn asks(operation: Operation) -> Vec<u8> {
        encode(&AskTenant::Store(Ask {
            caller: caller(),
            operation,
        }))
    }

    /// If this fails the messages have changed: then [`VERSION`] rises.
    #[test]
    fn the_messages_are_what_they_were() {
        let head = [VERSION, 0, 1, b't', 1, b's', 1, 1, b'e', 1];
        let ask = |rest: &[u8]| [&head[..], rest].concat();
        let workspace = WorkspaceId::new(7).unwrap();
        let id = ConnectionId::from_bytes([9; 16]);
        assert_eq!(asks(Operation::Get(Lookup::Name(name("c")))), ask(&[1, 0, 1, b'c']));
        let list = ListQuery {
            workspace: Some(workspace),
            workspaces: Workspaces::Managed,
            after: Some(name("c")),
            limit: Some(300),
            details: true,
            most_bytes: 200,
        };
        let list = Operation::List(list);
        assert_eq!(asks(list), ask(&[2, 1, 7, 1, 1, 1, b'c', 1, 0xac, 2, 1, 0xc8, 1]));
        let attach = Attach {
            connection: id,
            workspace,
            workspaces: Workspaces::Open,
            id: AttachmentId::from_bytes([8; 16]),
            now: Timestamp::from_micros(1),
        };
        let expected = [&[3], &[9; 16][..], &[7, 0], &[8; 16], &[2]].concat();
        assert_eq!(asks(Operation::Attach(attach)), ask(&expected));
        let expected = [&[4], &[9; 16][..], &[7]].concat();
        assert_eq!(asks(Operation::Detach(id, workspace)), ask(&expected));
        assert_eq!(asks(Operation::Delete(name("c"))), ask(&[5, 1, b'c']));
        let create = Operation::CreateWorkspace(name("c"), Timestamp::from_micros(1));
        assert_eq!(asks(create), ask(&[6, 1, b'c', 2]));
        let list = Operation::ListWorkspaces(WorkspacesOf::Person(caller().subject), 5);
        assert_eq!(asks(list), ask(&[7, 2, 1, b's', 5]));
        let add = AddMember {
            workspace,
            person: Person::Subject(caller().subject),
            email: caller().email,
            role: Role::Collaborator,
        };
        assert_eq!(asks(Operation::AddMember(add)), ask(&[8, 7, 0, 1, b's', 1, 1, b'e', 1]));
        assert_eq!(asks(Operation::Members(workspace)), ask(&[9, 7]));
        let person = Person::Email(Subject::new("e").unwrap());
        let remove = Operation::RemoveMember(workspace, person.clone());
        assert_eq!(asks(remove), ask(&[10, 7, 1, 1, b'e']));

        let of_sealings = |of| encode(&AskTenant::Sealings(caller().tenant, of));
        let ask = |rest: &[u8]| [&[VERSION, 1, 1, b't'], rest].concat();
        let key = |id| KeyId::new(id).unwrap();
        assert_eq!(of_sealings(OfSealings::Count), ask(&[0]));
        let sealed = OfSealings::Sealed(Wanted::SealedOtherwise(key("k")), Some(Place("p".into())), 300);
        assert_eq!(of_sealings(sealed), ask(&[1, 1, 1, b'k', 1, 1, b'p', 0xac, 2]));
        let replacement = Replacement {
            tenant: caller().tenant,
            name: name("c"),
            id,
            owner: caller().subject,
            expected: key("j"),
            sealed: Sealed {
                key_id: key("k"),
                bytes: vec![1, 2],
            },
        };
        let expected = [
            &[2, 1, 1, b't', 1, b'c'],
            &[9; 16][..],
            &[1, b's', 1, b'j', 1, b'k', 2, 1, 2],
        ]
        .concat();
        assert_eq!(of_sealings(OfSealings::Replace(vec![replacement])), ask(&expected));

        let of_adoption = |of| encode(&AskTenant::Adoption(caller().tenant, of));
        let to = NewOwner {
            tenant: caller().tenant,
            subject: caller().subject,
        };
        let run = Run { adoption: 300, run: 2 };
        let (to_bytes, run_bytes) = ([1, b't', 1, b's'], [0xac, 2, 2]);
        let asks = |number: u8, rest: &[&[u8]]| [&[VERSION, 2, 1, b't', number], rest.concat().as_slice()].concat();
        let freeze = of_adoption(adoption::Ask::Freeze(to.clone(), run));
        assert_eq!(freeze, asks(0, &[&to_bytes, &run_bytes]));
        assert_eq!(of_adoption(adoption::Ask::Begun), asks(1, &[]));
        let leaving = of_adoption(adoption::Ask::Leaving(Some(Place("p".into())), 300));
        assert_eq!(leaving, asks(2, &[&[1, 1, b'p', 0xac, 2]]));
        let conflicts = of_adoption(adoption::Ask::Conflicts(Some(run), true));
        assert_eq!(conflicts, asks(3, &[&[1], &run_bytes, &[1]]));
        for (number, of) in [
            (4, adoption::Ask::Leave(run)),
            (5, adoption::Ask::Thaw(run)),
            (9, adoption::Ask::Forget(run)),
        ] {
            assert_eq!(of_adoption(of), asks(number, &[&run_bytes]));
        }
        let expect = of_adoption(adoption::Ask::Expect(run, true));
        assert_eq!(expect, asks(6, &[&run_bytes, &[1]]));
        let member = Member {
            person: person.clone(),
            role: Role::Owner,
        };
        let made = Workspace {
            id: workspace,
            name: name("w"),
            created_by: caller().subject,
            created_at: Timestamp::from_micros(1),
        };
        let parts = vec![
            Part::Counter(workspace),
            Part::Workspace(made, vec![(member, caller().email)]),
        ];
        let (made, member) = ([1, 7, 1, b'w', 1, b's', 2], [1, 1, 1, b'e', 0, 1, 1, b'e']);
        let expected = asks(7, &[&run_bytes, &[2, 0, 7], &made, &member]);
        assert_eq!(of_adoption(adoption::Ask::Arrive(run, parts)), expected);
        let decide = of_adoption(adoption::Ask::Decide(to, run, InTheWay::default(), true));
        assert_eq!(decide, asks(8, &[&to_bytes, &run_bytes, &[0, 0, 0, 0, 1]]));

        let told = |outcome: Result<DeleteOutcome, StoreError>| encode(&outcome);
        assert_eq!(told(Err(StoreError::Busy("b".into()))), [VERSION, 1, 0, 1, b'b']);
        let attached = vec![Attached {
            workspace,
            name: name("w"),
        }];
        let expected = [&[VERSION, 0, 3][..], &[8; 16], &[1, 7, 1, b'w']].concat();
        let id = ConnectionId::from_bytes([8; 16]);
        assert_eq!(told(Ok(DeleteOutcome::Attached(id, attached))), expected);
        let members = MembersOutcome::All(vec![Member {
            person,
            role: Role::Owner,
        }]);
        assert_eq!(encode(&Ok::<_, StoreError>(members)), [VERSION, 0, 0, 1, 1, 1, b'e', 0]);
        let attached = AttachOutcome::Attached(AttachmentId::from_bytes([8; 16]), name("c"));
        assert_eq!(
            encode(&Ok::<_, StoreError>(attached)),
            [&[VERSION, 0, 0][..], &[8; 16], &[1, b'c']].concat()
        );
        let counted = Counted {
            under: BTreeMap::from([(key("k"), 300)]),
            unreadable: 1,
        };
        let expected = [VERSION, 0, 1, 1, b'k', 0xac, 2, 1];
        assert_eq!(encode(&Ok::<_, StoreError>(counted)), expected);
        let frozen = [VERSION, 0, 2, 0xac, 2, 2];
        assert_eq!(encode(&Ok::<_, StoreError>(Told::Frozen(run))), frozen);
        let adopted = Adopted {
            connections: 300,
            workspaces: 2,
            left_out: 1,
        };
        let decided = Told::Decided(Decided::Adopted(adopted));
        assert_eq!(encode(&Ok::<_, StoreError>(decided)), [VERSION, 0, 7, 0, 0xac, 2, 2, 1]);
        let step = Step {
            found: vec![Err::<Held, _>(Unreadable {
                at: "a".into(),
                why: "w".into(),
            })],
            next: Some(Place("p".into())),
        };
        let expected = [VERSION, 0, 1, 1, 1, b'a', 1, b'w', 1, 1, b'p'];
        assert_eq!(encode(&Ok::<_, StoreError>(step)), expected);
    }

    #[test]
    fn what_another_version_says_is_unavailable_and_never_taken_for_something_else() {
        let good = asks(Operation::Delete(name("c")));
        assert!(decode::<AskTenant>(&good).is_ok());
        let mut newer = good.clone();
        newer[0] = VERSION + 1;
        let mut unknown = good.clone();
        unknown[10] = 200;
        let mut invalid = good.clone();
        invalid[12] = b'\n';
        let mut wrong = vec![newer, unknown, invalid, [good.as_slice(), &[0]].concat()];
        wrong.extend((0..good.len()).map(|length| good[..length].to_vec()));
        for message in wrong {
            let refused = decode::<AskTenant>(&message);
            assert!(
                matches!(refused, Err(StoreError::Unavailable(_))),
                "{message:?}: {refused:?}"
            );
        }
    }
}
