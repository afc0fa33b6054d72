//! The operations on a workspace's members, each to be run inside one transaction.

use patchbay_core::access::{self, Verdict};
use patchbay_core::limits;
use patchbay_core::model::{Caller, Member, Person, Subject, Tenant, WorkspaceId};
use patchbay_core::store::{AddMember, AddMemberOutcome, MembersOutcome, RemoveMemberOutcome, StoreError};

use crate::database::{Statements, Value, all, first, int};
use crate::facts::{member, person_stored, role_stored, workspace_stored};
use crate::statements as sql;
use crate::workspaces::role;

/// [`Store::add_member`](patchbay_core::store::Store::add_member).
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn add(statements: &dyn Statements, caller: &Caller, add: &AddMember) -> Result<AddMemberOutcome, StoreError> {
    let Some(role) = role(statements, caller, add.workspace)? else {
        return Ok(AddMemberOutcome::NoWorkspace);
    };
    match access::add_member(caller, role) {
        Verdict::Invisible => return Ok(AddMemberOutcome::NoWorkspace),
        Verdict::Forbidden => return Ok(AddMemberOutcome::Forbidden),
        Verdict::Allowed => {}
    }
    let members = every(statements, &caller.tenant, add.workspace)?;
    let added = Member {
        person: add.person.clone(),
        role: add.role,
    };
    if members.iter().any(|member| member.person == added.person) {
        if access::takes_the_last_owner(&members, &added.person, Some(added.role)) {
            return Ok(AddMemberOutcome::LastOwner);
        }
    } else {
        if members.len() >= limits::MEMBERS_PER_WORKSPACE {
            return Ok(AddMemberOutcome::TooManyMembers);
        }
        if workspaces_of(statements, &caller.tenant, &added.person)? >= limits::WORKSPACES_PER_PERSON {
            return Ok(AddMemberOutcome::TooManyWorkspaces);
        }
    }
    put(statements, &caller.tenant, add.workspace, &added, add.email.as_ref())?;
    Ok(AddMemberOutcome::Added)
}

/// [`Store::members`](patchbay_core::store::Store::members).
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn list(
    statements: &dyn Statements,
    caller: &Caller,
    workspace: WorkspaceId,
) -> Result<MembersOutcome, StoreError> {
    match role(statements, caller, workspace)? {
        Some(role) if access::sees_workspace(caller, role) => {
            Ok(MembersOutcome::All(every(statements, &caller.tenant, workspace)?))
        }
        _ => Ok(MembersOutcome::NoWorkspace),
    }
}

/// [`Store::remove_member`](patchbay_core::store::Store::remove_member).
///
/// # Errors
/// What the database reports, or what is stored is damaged.
pub fn remove(
    statements: &dyn Statements,
    caller: &Caller,
    workspace: WorkspaceId,
    person: &Person,
) -> Result<RemoveMemberOutcome, StoreError> {
    let Some(role) = role(statements, caller, workspace)? else {
        return Ok(RemoveMemberOutcome::NoWorkspace);
    };
    match access::remove_member(caller, role, person) {
        Verdict::Invisible => return Ok(RemoveMemberOutcome::NoWorkspace),
        Verdict::Forbidden => return Ok(RemoveMemberOutcome::Forbidden),
        Verdict::Allowed => {}
    }
    let members = every(statements, &caller.tenant, workspace)?;
    if !members.iter().any(|member| member.person == *person) {
        return Ok(RemoveMemberOutcome::NotAMember);
    }
    if access::takes_the_last_owner(&members, person, None) {
        return Ok(RemoveMemberOutcome::LastOwner);
    }
    delete(statements, &caller.tenant, workspace, person)?;
    Ok(RemoveMemberOutcome::Removed)
}

/// A workspace's members, ordered by person.
pub(crate) fn every(
    statements: &dyn Statements,
    tenant: &Tenant,
    workspace: WorkspaceId,
) -> Result<Vec<Member>, StoreError> {
    let params = [tenant.as_str().into(), workspace_stored(workspace)];
    all(statements, sql::MEMBERS, &params, member)
}

/// Makes somebody a member, or gives a member another role, with the e-mail address beside their subject where there is
/// one. Checks nothing.
pub(crate) fn put(
    statements: &dyn Statements,
    tenant: &Tenant,
    workspace: WorkspaceId,
    member: &Member,
    email: Option<&Subject>,
) -> Result<(), StoreError> {
    let [kind, subject] = person_stored(&member.person);
    let params = [
        tenant.as_str().into(),
        kind,
        subject,
        workspace_stored(workspace),
        role_stored(member.role).into(),
        email.map(Subject::as_str).into(),
    ];
    statements.execute(sql::PUT_MEMBER, &params)
}

/// Ends a membership. Checks nothing.
pub(crate) fn delete(
    statements: &dyn Statements,
    tenant: &Tenant,
    workspace: WorkspaceId,
    person: &Person,
) -> Result<(), StoreError> {
    let [kind, subject] = person_stored(person);
    let params = [tenant.as_str().into(), kind, subject, workspace_stored(workspace)];
    statements.execute(sql::REMOVE_MEMBER, &params)
}

/// In how many workspaces a person is.
pub(crate) fn workspaces_of(
    statements: &dyn Statements,
    tenant: &Tenant,
    person: &Person,
) -> Result<usize, StoreError> {
    let (subject, email) = match person {
        Person::Subject(subject) => (Some(subject.as_str()), None),
        Person::Email(email) => (None, Some(email.as_str())),
    };
    count_of(statements, tenant.as_str().into(), subject, email)
}

/// In how many workspaces somebody is, by subject or e-mail.
pub(crate) fn count_of(
    statements: &dyn Statements,
    tenant: Value<'_>,
    subject: Option<&str>,
    email: Option<&str>,
) -> Result<usize, StoreError> {
    let params = [tenant, subject.into(), email.into()];
    let among = first(statements, sql::WORKSPACES_OF_COUNT, &params, |row| int(row, 0))?.unwrap_or(0);
    Ok(usize::try_from(among).unwrap_or(usize::MAX))
}
