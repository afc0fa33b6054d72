//! Who may do what: the contract's table, as pure functions over facts that a store gathered.

use crate::model::{Attached, Caller, Member, Name, Person, Role, Subject, WorkspaceId};

/// The verdict over something that a caller asks to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Allowed,
    /// To this caller it does not exist (404).
    Invisible,
    /// They see it, but may not do this (403).
    Forbidden,
}

/// The caller's roles in the workspaces that matter for one decision.
pub trait Roles {
    /// Their role in `workspace`, by subject or by e-mail, the higher of the two.
    fn role(&self, workspace: WorkspaceId) -> Option<Role>;
}

impl<F: Fn(WorkspaceId) -> Option<Role>> Roles for F {
    fn role(&self, workspace: WorkspaceId) -> Option<Role> {
        self(workspace)
    }
}

/// Whether the caller owns it or is an admin: those who see all of a connection and may delete it.
pub fn controls(caller: &Caller, owner: &Subject) -> bool {
    caller.admin || caller.subject == *owner
}

/// Whether the caller may see a connection: its owner, members of a workspace that it is attached to, admins.
pub fn sees_connection(caller: &Caller, owner: &Subject, attached: &[Attached], roles: &impl Roles) -> bool {
    controls(caller, owner) || attached.iter().any(|at| roles.role(at.workspace).is_some())
}

/// Whether the caller may see a workspace that exists: its members, admins.
pub fn sees_workspace(caller: &Caller, role: Option<Role>) -> bool {
    caller.admin || role.is_some()
}

/// The names in `workspace_names` for a caller who sees the connection, sorted: all for its owner and admins, for
/// others those of the workspaces that they are in.
pub fn visible_names(caller: &Caller, owner: &Subject, attached: &[Attached], roles: &impl Roles) -> Vec<Name> {
    let all = controls(caller, owner);
    let mut names: Vec<Name> = attached
        .iter()
        .filter(|at| all || roles.role(at.workspace).is_some())
        .map(|at| at.name.clone())
        .collect();
    names.sort_unstable();
    names
}

/// `add_to_workspace`, of a connection that exists: its owner, admins. Whether the workspace is there for them too is
/// [`sees_workspace`]; an owner who is no member gets 404 for it, since to them it does not exist.
pub fn attach(caller: &Caller, owner: &Subject, attached: &[Attached], roles: &impl Roles) -> Verdict {
    if controls(caller, owner) {
        Verdict::Allowed
    } else if sees_connection(caller, owner, attached, roles) {
        Verdict::Forbidden
    } else {
        Verdict::Invisible
    }
}

/// `remove_from_workspace`, of a pair that is attached: the connection's owner, an OWNER of the workspace, admins. A
/// caller who sees the connection through another workspace alone does not see this attachment.
pub fn detach(caller: &Caller, owner: &Subject, from: WorkspaceId, roles: &impl Roles) -> Verdict {
    match roles.role(from) {
        _ if controls(caller, owner) => Verdict::Allowed,
        Some(Role::Owner) => Verdict::Allowed,
        Some(Role::Collaborator) => Verdict::Forbidden,
        None => Verdict::Invisible,
    }
}

/// `delete`, of a connection that exists: its owner, admins.
pub fn delete(caller: &Caller, owner: &Subject, attached: &[Attached], roles: &impl Roles) -> Verdict {
    attach(caller, owner, attached, roles)
}

/// `workspaces/add_user`, to a workspace that exists, by a caller of this role in it: its OWNERs, admins.
pub fn add_member(caller: &Caller, role: Option<Role>) -> Verdict {
    match role {
        _ if caller.admin => Verdict::Allowed,
        Some(Role::Owner) => Verdict::Allowed,
        Some(Role::Collaborator) => Verdict::Forbidden,
        None => Verdict::Invisible,
    }
}

/// `workspaces/remove_user`, likewise: its OWNERs, admins, and any member who removes themself.
pub fn remove_member(caller: &Caller, role: Option<Role>, person: &Person) -> Verdict {
    match add_member(caller, role) {
        Verdict::Forbidden if is(caller, person) => Verdict::Allowed,
        verdict => verdict,
    }
}

/// Whether the caller is this person.
fn is(caller: &Caller, person: &Person) -> bool {
    match person {
        Person::Subject(subject) => caller.subject == *subject,
        Person::Email(email) => caller.email.as_ref() == Some(email),
    }
}

/// The caller's role among a workspace's members: by subject or by e-mail, the higher of the two.
pub fn role_among(caller: &Caller, members: &[Member]) -> Option<Role> {
    let own = || members.iter().filter(|member| is(caller, &member.person));
    let owner = own().find(|member| member.role == Role::Owner);
    owner.or_else(|| own().next()).map(|member| member.role)
}

/// Whether this person is a workspace's one OWNER and would be it no more with role `to`, or without one: the last OWNER
/// stays one, whoever asks (409).
pub fn takes_the_last_owner(members: &[Member], person: &Person, to: Option<Role>) -> bool {
    let mut owners = members.iter().filter(|member| member.role == Role::Owner);
    let is_last = owners.next().is_some_and(|owner| owner.person == *person) && owners.next().is_none();
    is_last && to != Some(Role::Owner)
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Allowed, Forbidden, Invisible};
    use super::*;
    use crate::model::Tenant;

    const HERE: u64 = 1;
    const ELSEWHERE: u64 = 2;

    fn id(number: u64) -> WorkspaceId {
        WorkspaceId::new(number).unwrap()
    }

    fn attached(to: &[u64]) -> Vec<Attached> {
        to.iter()
            .map(|n| Attached {
                workspace: id(*n),
                name: Name::new(&format!("w{n}")).unwrap(),
            })
            .collect()
    }

    fn caller(subject: &str, admin: bool) -> Caller {
        let (tenant, subject) = (Tenant::new("t").unwrap(), Subject::new(subject).unwrap());
        Caller {
            tenant,
            subject,
            email: None,
            admin,
        }
    }

    /// A relation of the caller to a connection owned by `ann`, and to the workspace [`HERE`].
    struct Relation {
        who: &'static str,
        admin: bool,
        role_here: Option<Role>,
        role_elsewhere: Option<Role>,
    }

    const fn relation(who: &'static str, admin: bool, here: Option<Role>, elsewhere: Option<Role>) -> Relation {
        Relation {
            who,
            admin,
            role_here: here,
            role_elsewhere: elsewhere,
        }
    }

    const OWNER: Option<Role> = Some(Role::Owner);
    const COLLABORATOR: Option<Role> = Some(Role::Collaborator);

    /// Columns: the relation; then for a connection attached to nothing, to HERE, and to ELSEWHERE alone: whether it
    /// is seen, and the verdicts of attach and delete; last the verdict of detaching it from HERE where it is.
    #[test]
    fn every_relation_gets_what_the_contracts_table_says() {
        type Row = (Relation, [(bool, Verdict); 3], Verdict);
        let yes = (true, Allowed);
        let seen = (true, Forbidden);
        let no = (false, Invisible);
        let table: [Row; 10] = [
            (relation("ann", false, None, None), [yes, yes, yes], Allowed),
            (relation("ann", false, COLLABORATOR, None), [yes, yes, yes], Allowed),
            (relation("ann", false, OWNER, OWNER), [yes, yes, yes], Allowed),
            (relation("root", true, None, None), [yes, yes, yes], Allowed),
            (relation("bob", false, None, None), [no, no, no], Invisible),
            (relation("bob", false, COLLABORATOR, None), [no, seen, no], Forbidden),
            (relation("bob", false, OWNER, None), [no, seen, no], Allowed),
            (relation("bob", false, None, COLLABORATOR), [no, no, seen], Invisible),
            (relation("bob", false, None, OWNER), [no, no, seen], Invisible),
            (relation("bob", false, COLLABORATOR, OWNER), [no, seen, seen], Forbidden),
        ];
        let owner = Subject::new("ann").unwrap();
        for (row, (of, verdicts, from_here)) in table.into_iter().enumerate() {
            let caller = caller(of.who, of.admin);
            let roles = |workspace: WorkspaceId| {
                if workspace == id(HERE) {
                    of.role_here
                } else {
                    of.role_elsewhere
                }
            };
            for (to, (sees, verdict)) in [&[][..], &[HERE], &[ELSEWHERE]].into_iter().zip(verdicts) {
                let at = attached(to);
                assert_eq!(
                    sees_connection(&caller, &owner, &at, &roles),
                    sees,
                    "row {row}, attached to {to:?}"
                );
                assert_eq!(
                    attach(&caller, &owner, &at, &roles),
                    verdict,
                    "row {row}, attached to {to:?}"
                );
                assert_eq!(
                    delete(&caller, &owner, &at, &roles),
                    verdict,
                    "row {row}, attached to {to:?}"
                );
            }
            assert_eq!(detach(&caller, &owner, id(HERE), &roles), from_here, "row {row}");
            let sees = of.admin || of.role_here.is_some();
            assert_eq!(sees_workspace(&caller, of.role_here), sees, "row {row}");
        }
    }

    #[test]
    fn owners_and_admins_change_members_and_anybody_leaves() {
        let bob = Caller {
            email: Some(Subject::new("bob@x").unwrap()),
            ..caller("bob", false)
        };
        let root = caller("root", true);
        let text = |text| Subject::new(text).unwrap();
        let himself = [Person::Subject(text("bob")), Person::Email(text("bob@x"))];
        let others = [
            Person::Subject(text("ann")),
            Person::Subject(text("bob@x")),
            Person::Email(text("bob")),
        ];
        for (caller, role, adds, leaves) in [
            (&root, None, Allowed, Allowed),
            (&root, COLLABORATOR, Allowed, Allowed),
            (&bob, OWNER, Allowed, Allowed),
            (&bob, COLLABORATOR, Forbidden, Allowed),
            (&bob, None, Invisible, Invisible),
        ] {
            assert_eq!(add_member(caller, role), adds, "{role:?}");
            for person in &himself {
                let verdict = remove_member(caller, role, person);
                assert_eq!(verdict, leaves, "{role:?}, {person:?}");
            }
            for person in &others {
                assert_eq!(remove_member(caller, role, person), adds, "{role:?}, {person:?}");
            }
        }
    }

    #[test]
    fn a_callers_role_is_the_higher_of_two_and_the_last_owner_is_known() {
        let text = |text| Subject::new(text).unwrap();
        let by_subject = Person::Subject(text("bob"));
        let by_email = Person::Email(text("bob@x"));
        let member = |person: &Person, role| Member {
            person: person.clone(),
            role,
        };
        let bob = Caller {
            email: Some(text("bob@x")),
            ..caller("bob", false)
        };
        let both = [member(&by_subject, Role::Collaborator), member(&by_email, Role::Owner)];
        assert_eq!(role_among(&bob, &both), OWNER);
        assert_eq!(role_among(&bob, &both[..1]), COLLABORATOR);
        assert_eq!(role_among(&caller("bob", false), &both), COLLABORATOR);
        assert_eq!(role_among(&caller("eve", false), &both), None);
        for to in [COLLABORATOR, None] {
            assert!(takes_the_last_owner(&both, &by_email, to));
            assert!(!takes_the_last_owner(&both, &by_subject, to));
            let two = [member(&by_subject, Role::Owner), member(&by_email, Role::Owner)];
            assert!(!takes_the_last_owner(&two, &by_email, to));
            assert!(!takes_the_last_owner(&[], &by_email, to));
        }
        assert!(!takes_the_last_owner(&both, &by_email, OWNER));
    }

    #[test]
    fn owners_and_admins_see_all_workspace_names_and_members_their_own_sorted() {
        let owner = Subject::new("ann").unwrap();
        let at = attached(&[2, 1]);
        let only_here = |workspace: WorkspaceId| if workspace == id(HERE) { COLLABORATOR } else { None };
        let names = |caller: &Caller| -> Vec<String> {
            visible_names(caller, &owner, &at, &only_here)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        assert_eq!(names(&caller("ann", false)), ["w1", "w2"]);
        assert_eq!(names(&caller("root", true)), ["w1", "w2"]);
        assert_eq!(names(&caller("bob", false)), ["w1"]);
    }
}
