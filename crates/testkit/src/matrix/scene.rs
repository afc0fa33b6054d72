//! A tenant with a connection, two workspaces, and somebody for each relation; and another tenant.

use patchbay_core::model::{Caller, Subject, Tenant};
use serde_json::{Value, json};

use super::table::{Attached, Relation};
use crate::cases::kept;
use crate::world::World;

/// The e-mail address of the member who is known by that alone.
const EMAIL: &str = "eve@example.com";

/// What a request may name.
#[derive(Debug, Clone)]
pub(super) struct Things {
    /// The connection's name.
    pub(super) name: String,
    /// Its id.
    pub(super) id: String,
    pub(super) workspace: u64,
}

/// One tenant of a case's own. Its connection is ann's, who is in the workspace or not.
pub(super) struct Scene {
    pub(super) things: Things,
    /// The names in the connection's `workspace_names` for whoever sees it.
    pub(super) attached_to: Vec<String>,
    tenant: Tenant,
}

impl Scene {
    /// Makes it.
    pub(super) async fn new(world: &World<'_>, attached: Attached, owner_inside: bool) -> Self {
        let tenant = tenant(&world.name());
        let of = |subject: &str, admin| {
            kept(Caller {
                tenant: tenant.clone(),
                subject: self::subject(subject),
                email: None,
                admin,
            })
        };
        let (ann, olga, root) = (of("ann", false), of("olga", false), of("root", true));
        let [here, elsewhere] = [world.name(), world.name()];
        let workspace = world.create_workspace(Some(olga), &here).await;
        let other = world.create_workspace(Some(root), &elsewhere).await;
        let mut people = vec![
            json!({ "user_id": "dan" }),
            json!({ "user_id": "vic" }),
            json!({ "email": EMAIL }),
        ];
        people.extend(owner_inside.then(|| json!({ "user_id": "ann" })));
        for mut person in people {
            person["workspace_id"] = workspace.into();
            world.post_as(olga, "workspaces/add_user", &person).await.ok();
        }
        let name = world.name();
        let id = world.create_as(ann, &name).await;
        let attached_to = match attached {
            Attached::Nowhere => None,
            Attached::Here => Some((workspace, here)),
            Attached::Elsewhere => Some((other, elsewhere)),
        };
        if let Some((workspace, _)) = &attached_to {
            let pair = json!({ "workspace_id": workspace, "connection_id": id });
            world.post_as(root, "connections/add_to_workspace", &pair).await.ok();
        }
        Self {
            things: Things { name, id, workspace },
            attached_to: attached_to.into_iter().map(|(_, name)| name).collect(),
            tenant,
        }
    }

    /// Who is in this relation; no caller where no token is brought, or an operator's.
    pub(super) fn caller(&self, relation: Relation) -> Option<&'static Caller> {
        let elsewhere = tenant(&format!("{}-2", self.tenant));
        let (tenant, subject, email, admin) = match relation {
            Relation::OwnerInside | Relation::OwnerOutside => (self.tenant.clone(), "ann", None, false),
            Relation::WorkspaceOwner => (self.tenant.clone(), "olga", None, false),
            Relation::Collaborator => (self.tenant.clone(), "dan", None, false),
            Relation::ByEmail => (self.tenant.clone(), "eve", Some(EMAIL), false),
            Relation::Stranger => (self.tenant.clone(), "sam", Some("sam@example.com"), false),
            Relation::Admin => (self.tenant.clone(), "root", None, true),
            Relation::Namesake => (elsewhere, "ann", Some(EMAIL), false),
            Relation::AdminElsewhere => (elsewhere, "root", None, true),
            Relation::Nobody | Relation::Operator => return None,
        };
        Some(kept(Caller {
            tenant,
            subject: self::subject(subject),
            email: email.map(self::subject),
            admin,
        }))
    }

    /// How a member asks for themself to be removed.
    pub(super) fn known_as(&self, relation: Relation) -> Value {
        match (relation, self.caller(relation)) {
            (Relation::ByEmail, _) => json!({ "email": EMAIL }),
            (_, Some(caller)) => json!({ "user_id": caller.subject.as_str() }),
            (_, None) => json!({ "user_id": "nobody" }),
        }
    }
}

fn tenant(text: &str) -> Tenant {
    Tenant::new(text).expect("a tenant")
}

fn subject(text: &str) -> Subject {
    Subject::new(text).expect("a subject")
}
