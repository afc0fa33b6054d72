//! The operations, and what they ask for in a scene.

use serde_json::{Value, json};

use super::scene::Things;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    /// Under the connection's name.
    CreateTaken,
    Get {
        details: bool,
    },
    GetById {
        details: bool,
    },
    List {
        details: bool,
    },
    /// What is in the workspace.
    ListWithin {
        details: bool,
    },
    Attach,
    Detach,
    Delete,
    CreateWorkspace,
    ListWorkspaces,
    /// Those of the workspace's OWNER; that one asks for another's.
    ListWorkspacesOfAnother,
    /// Somebody new.
    AddUser,
    ListUsers,
    /// A COLLABORATOR who is none of the callers.
    RemoveUser,
    /// The caller themself.
    Leave,
    /// What is recorded of the connection.
    ListAudit,
    KeyStatus,
    Reseal,
    /// For a tenant that may be given nothing.
    Adopt,
}

impl Operation {
    /// What a caller may be let do.
    pub(super) const ALL: &[Self] = &[
        Self::Create,
        Self::CreateTaken,
        Self::Get { details: true },
        Self::Get { details: false },
        Self::GetById { details: true },
        Self::GetById { details: false },
        Self::List { details: true },
        Self::List { details: false },
        Self::ListWithin { details: true },
        Self::ListWithin { details: false },
        Self::Attach,
        Self::Detach,
        Self::Delete,
        Self::CreateWorkspace,
        Self::ListWorkspaces,
        Self::ListWorkspacesOfAnother,
        Self::AddUser,
        Self::ListUsers,
        Self::RemoveUser,
        Self::Leave,
        Self::ListAudit,
    ];

    /// What an operator alone is let do.
    pub(super) const OPERATORS: &[Self] = &[Self::KeyStatus, Self::Reseal, Self::Adopt];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Create | Self::CreateTaken => "connections/create",
            Self::Get { .. } => "connections/get",
            Self::GetById { .. } => "connections/get_by_id",
            Self::List { .. } | Self::ListWithin { .. } => "connections/list",
            Self::Attach => "connections/add_to_workspace",
            Self::Detach => "connections/remove_from_workspace",
            Self::Delete => "connections/delete",
            Self::CreateWorkspace => "workspaces/create",
            Self::ListWorkspaces | Self::ListWorkspacesOfAnother => "workspaces/list",
            Self::AddUser => "workspaces/add_user",
            Self::ListUsers => "workspaces/list_users",
            Self::RemoveUser | Self::Leave => "workspaces/remove_user",
            Self::ListAudit => "audit/list",
            Self::KeyStatus => "admin/keys/status",
            Self::Reseal => "admin/keys/reseal",
            Self::Adopt => "admin/adopt",
        }
    }

    /// Whether it names the connection.
    pub(super) fn names_connection(self) -> bool {
        match self {
            Self::Get { .. } | Self::GetById { .. } | Self::Attach | Self::Detach | Self::Delete => true,
            Self::Create | Self::CreateTaken | Self::List { .. } | Self::ListWithin { .. } => false,
            Self::CreateWorkspace | Self::ListWorkspaces | Self::ListWorkspacesOfAnother => false,
            Self::AddUser | Self::ListUsers | Self::RemoveUser | Self::Leave => false,
            Self::ListAudit | Self::KeyStatus | Self::Reseal | Self::Adopt => false,
        }
    }

    /// Whether it names the workspace.
    pub(super) fn names_workspace(self) -> bool {
        match self {
            Self::ListWithin { .. } | Self::Attach | Self::Detach => true,
            Self::AddUser | Self::ListUsers | Self::RemoveUser | Self::Leave => true,
            Self::Create | Self::CreateTaken | Self::Get { .. } | Self::GetById { .. } | Self::List { .. } => false,
            Self::Delete | Self::CreateWorkspace | Self::ListWorkspaces | Self::ListWorkspacesOfAnother => false,
            Self::ListAudit | Self::KeyStatus | Self::Reseal | Self::Adopt => false,
        }
    }

    /// Whether a success changes the scene.
    pub(super) fn changes(self) -> bool {
        match self {
            Self::Create | Self::CreateTaken | Self::Attach | Self::Detach | Self::Delete => true,
            Self::CreateWorkspace | Self::AddUser | Self::RemoveUser | Self::Leave => true,
            Self::Get { .. } | Self::GetById { .. } | Self::List { .. } | Self::ListWithin { .. } => false,
            Self::ListWorkspaces | Self::ListWorkspacesOfAnother | Self::ListUsers => false,
            Self::ListAudit | Self::KeyStatus | Self::Reseal | Self::Adopt => false,
        }
    }

    /// The body, about these things, from somebody who is known so: `{"user_id"}` or `{"email"}`.
    pub(super) fn body(self, things: &Things, new_name: &str, caller: &Value) -> Value {
        let Things {
            name, id, workspace, ..
        } = things;
        let with_workspace = |mut person: Value| {
            if let Some(fields) = person.as_object_mut() {
                fields.insert("workspace_id".into(), (*workspace).into());
            }
            person
        };
        match self {
            Self::Create => json!({ "name": new_name, "type": "KAFKA" }),
            Self::CreateTaken => json!({ "name": name, "type": "KAFKA" }),
            Self::Get { details } => json!({ "name": name, "details": details }),
            Self::GetById { details } => json!({ "id": id, "details": details }),
            Self::List { details } => json!({ "details": details }),
            Self::ListWithin { details } => json!({ "workspace_id": workspace, "details": details }),
            Self::Attach | Self::Detach => json!({ "workspace_id": workspace, "connection_id": id }),
            Self::Delete => json!({ "name": name }),
            Self::CreateWorkspace => json!({ "workspace_name": new_name }),
            Self::ListWorkspaces => json!({}),
            Self::ListWorkspacesOfAnother if caller["user_id"] == "olga" => json!({ "user_id": "dan" }),
            Self::ListWorkspacesOfAnother => json!({ "user_id": "olga" }),
            Self::AddUser => with_workspace(json!({ "user_id": "newcomer" })),
            Self::ListUsers => with_workspace(json!({})),
            Self::RemoveUser => with_workspace(json!({ "user_id": "vic" })),
            Self::Leave => with_workspace(caller.clone()),
            Self::ListAudit => json!({ "connection_id": id }),
            Self::KeyStatus | Self::Reseal => json!({}),
            Self::Adopt => json!({ "tenant": "nobody's", "owner": "ann" }),
        }
    }
}
