//! The operations on a workspace's members.

use crate::api::Host;
use crate::audit::Note;
use crate::identity;
use crate::limits;
use crate::model::{Caller, Person, Role, Subject, Workspaces};
use crate::problem::Problem;
use crate::registry::{NO_WORKSPACE, Registry, noted};
use crate::store::{AddMember, AddMemberOutcome, MembersOutcome, RemoveMemberOutcome, Store};
use crate::wire::{Fields, Json};

impl<S: Store, H: Host> Registry<S, H> {
    /// `workspaces/add_user`. In `open` mode too, a workspace that nothing was attached to yet has no members.
    pub(crate) async fn add_user(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<Json, Problem> {
        let fields = Fields::parse(body, &["workspace_id", "email", "user_id", "user_type", "url"])?;
        let workspace = fields.required_workspace_id("workspace_id")?;
        let (person, email) = person(&fields)?;
        // The SDK sends where it calls, which means nothing here.
        fields.any_text("url")?;
        let add = AddMember {
            workspace,
            person,
            email,
            role: fields.role("user_type")?.unwrap_or(Role::Collaborator),
        };
        note.add(|record| {
            record.workspace = Some(workspace);
            record.member = Some(add.person.clone());
            record.role = Some(add.role);
        });
        let outcome = self.noting(note).add_member(caller, add).await?;
        match noted(note, outcome) {
            AddMemberOutcome::Added => {
                let mut json = Json::default();
                json.literal("{}");
                Ok(json)
            }
            AddMemberOutcome::NoWorkspace => Err(Problem::not_found(NO_WORKSPACE)),
            AddMemberOutcome::Forbidden => Err(Problem::forbidden(
                "Only an OWNER of the workspace may add somebody or change their role.",
            )),
            AddMemberOutcome::LastOwner => Err(last_owner()),
            AddMemberOutcome::TooManyMembers => Err(Problem::conflict(format!(
                "The workspace has {} members already, the most there can be.",
                limits::MEMBERS_PER_WORKSPACE
            ))),
            AddMemberOutcome::TooManyWorkspaces => Err(Problem::conflict(format!(
                "This person is in {} workspaces already, the most there can be.",
                limits::WORKSPACES_PER_PERSON
            ))),
        }
    }

    /// `workspaces/list_users`. In `open` mode a workspace that is not stored is empty.
    pub(crate) async fn list_users(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<Json, Problem> {
        let workspace = Fields::parse(body, &["workspace_id"])?.required_workspace_id("workspace_id")?;
        note.add(|record| record.workspace = Some(workspace));
        let members = match self.store.members(caller, workspace).await? {
            MembersOutcome::All(members) => members,
            MembersOutcome::NoWorkspace if self.config.workspaces == Workspaces::Open => Vec::new(),
            MembersOutcome::NoWorkspace => return Err(Problem::not_found(NO_WORKSPACE)),
        };
        let mut json = Json::default();
        json.literal("{\"users\":[");
        json.each(&members, |json, member| _ = json.member(member));
        json.literal("]}");
        Ok(json)
    }

    /// `workspaces/remove_user`. Somebody who is no member is no error: of them, 0 rows are affected.
    pub(crate) async fn remove_user(&self, caller: &Caller, body: &[u8], note: &mut Note) -> Result<Json, Problem> {
        let fields = Fields::parse(body, &["workspace_id", "email", "user_id"])?;
        let workspace = fields.required_workspace_id("workspace_id")?;
        let (person, _) = person(&fields)?;
        note.add(|record| {
            record.workspace = Some(workspace);
            record.member = Some(person.clone());
        });
        let outcome = self.noting(note).remove_member(caller, workspace, person).await?;
        let affected = match noted(note, outcome) {
            RemoveMemberOutcome::Removed => 1,
            RemoveMemberOutcome::NotAMember => 0,
            RemoveMemberOutcome::NoWorkspace => return Err(Problem::not_found(NO_WORKSPACE)),
            RemoveMemberOutcome::Forbidden => {
                return Err(Problem::forbidden(
                    "Only an OWNER of the workspace may remove somebody else.",
                ));
            }
            RemoveMemberOutcome::LastOwner => return Err(last_owner()),
        };
        let mut json = Json::default();
        json.literal("{\"affected_rows\":").plain(affected).literal("}");
        Ok(json)
    }
}

/// Whom a body names, and the e-mail address that it gives beside their subject.
fn person(fields: &Fields<'_>) -> Result<(Person, Option<Subject>), Problem> {
    match (fields.subject("user_id")?, fields.text("email", identity::email)?) {
        (Some(subject), email) => Ok((Person::Subject(subject), email)),
        (None, Some(email)) => Ok((Person::Email(email), None)),
        (None, None) => Err(Problem::bad("One of `user_id` and `email` is required.")),
    }
}

fn last_owner() -> Problem {
    Problem::conflict("The workspace's last OWNER stays one: make somebody else an OWNER first.")
}
