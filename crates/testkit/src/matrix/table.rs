//! The contract's table "Who may do what", written out: what each caller is answered, whatever they ask for.

use super::operation::Operation;
use crate::runner::Setting;

/// What the caller is to the connection, and to the workspace that the request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Owns the connection, and is a COLLABORATOR of the workspace.
    OwnerInside,
    /// Owns the connection, and is in no workspace.
    OwnerOutside,
    /// The workspace's one OWNER.
    WorkspaceOwner,
    Collaborator,
    /// A COLLABORATOR who is known by e-mail alone.
    ByEmail,
    Stranger,
    Admin,
    /// Subject and e-mail address are those of the first, in another tenant.
    Namesake,
    /// Of that other tenant.
    AdminElsewhere,
    /// Brings no token.
    Nobody,
    /// Is of no tenant.
    Operator,
}

impl Relation {
    /// In the order of the table's columns.
    pub(super) const ALL: [Self; 11] = [
        Self::OwnerInside,
        Self::OwnerOutside,
        Self::WorkspaceOwner,
        Self::Collaborator,
        Self::ByEmail,
        Self::Stranger,
        Self::Admin,
        Self::Namesake,
        Self::AdminElsewhere,
        Self::Nobody,
        Self::Operator,
    ];
}

/// Where the connection is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    Nowhere,
    /// To the workspace that the request names.
    Here,
    /// To another workspace, in which there is nobody.
    Elsewhere,
}

impl Attached {
    pub(super) const ALL: [Self; 3] = [Self::Nowhere, Self::Here, Self::Elsewhere];
}

/// An answer: the status, and for lists how many rows there are, for `remove_user` how many were affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) count: Option<usize>,
}

impl Expected {
    /// The same where there is an audit trail, or none to list; and where a home adopts by a command alone, or does not do
    /// it for this tenant.
    pub(super) fn of(self, operation: Operation, setting: &Setting) -> Self {
        let status = match (operation, self.status) {
            (Operation::ListAudit, 200) if !setting.trail => 501,
            (Operation::Adopt, 501) if setting.apart => 403,
            _ => return self,
        };
        Self { status, count: None }
    }
}

/// The table's cell. A row that leaves `elsewhere` out is the same as nowhere, and one with a single line is the same
/// wherever the connection is attached.
pub(super) fn expected(operation: Operation, attached: Attached, relation: Relation) -> Expected {
    let lines = answers(operation);
    let line = match (attached, lines) {
        (Attached::Here, [_, here, ..]) => here,
        (Attached::Elsewhere, [.., elsewhere]) if lines.len() == 3 => elsewhere,
        _ => lines.first().copied().unwrap_or_default(),
    };
    let column = Relation::ALL.iter().position(|other| *other == relation);
    let cell = column.and_then(|column| line.split_whitespace().nth(column));
    let (status, count) = match cell.unwrap_or_default().split_once(':') {
        Some((status, count)) => (status, count.parse().ok()),
        None => (cell.unwrap_or_default(), None),
    };
    Expected {
        status: status.parse().unwrap_or(0),
        count,
    }
}

/// The lines: attached nowhere, here, elsewhere.
#[rustfmt::skip]
fn answers(operation: Operation) -> &'static [&'static str] {
    match operation {
        //                         owner inside
        //                         |     owner outside
        //                         |     |     OWNER of the workspace
        //                         |     |     |     COLLABORATOR
        //                         |     |     |     |     by e-mail
        //                         |     |     |     |     |     stranger
        //                         |     |     |     |     |     |     admin   namesake
        //                         |     |     |     |     |     |     |       |     admin elsewhere
        //                         |     |     |     |     |     |     |       |     |     nobody
        //                         |     |     |     |     |     |     |       |     |     |   operator
        Operation::Create => &[   "200   200   200   200   200   200   200     200   200   401 403"],
        Operation::CreateTaken=>&["409   409   409   409   409   409   409     200   200   401 403"],
        Operation::Get { .. } | Operation::GetById { .. } => &[
                                  "200   200   404   404   404   404   200     404   404   401 403",
                                  "200   200   200   200   200   404   200     404   404   401 403"],
        Operation::List { .. } => &[
                                  "200:1 200:1 200:0 200:0 200:0 200:0 200:1   200:0 200:0 401 403",
                                  "200:1 200:1 200:1 200:1 200:1 200:0 200:1   200:0 200:0 401 403"],
        Operation::ListWithin { .. } => &[
                                  "200:0 404   200:0 200:0 200:0 404   200:0   404   404   401 403",
                                  "200:1 404   200:1 200:1 200:1 404   200:1   404   404   401 403"],
        Operation::Attach => &[   "200   404   404   404   404   404   200     404   404   401 403",
                                  "200   404   403   403   403   404   200     404   404   401 403"],
        Operation::Detach => &[   "404   404   404   404   404   404   404     404   404   401 403",
                                  "204   204   204   403   403   404   204     404   404   401 403"],
        Operation::Delete => &[   "204   204   404   404   404   404   204     404   404   401 403",
                                  "409   409   403   403   403   404   409     404   404   401 403",
                                  "409   409   404   404   404   404   409     404   404   401 403"],
        Operation::CreateWorkspace => &[
                                  "200   200   200   200   200   200   200     200   200   401 403"],
        Operation::ListWorkspaces => &[
                                  "200:1 200:0 200:1 200:1 200:1 200:0 200:2   200:0 200:0 401 403"],
        Operation::ListWorkspacesOfAnother => &[
                                  "403   403   403   403   403   403   200:1   403   200:0 401 403"],
        Operation::AddUser => &[  "403   404   200   403   403   404   200     404   404   401 403"],
        Operation::ListUsers => &["200:5 404   200:5 200:5 200:5 404   200:5   404   404   401 403"],
        Operation::RemoveUser => &[
                                  "403   404   200:1 403   403   404   200:1   404   404   401 403"],
        Operation::Leave => &[    "200:1 404   409   200:1 200:1 404   200:0   404   404   401 403"],
        Operation::ListAudit => &["403   403   403   403   403   403   200     403   200:0 401 403"],
        Operation::KeyStatus | Operation::Reseal => &[
                                  "403   403   403   403   403   403   403     403   403   401 200"],
        Operation::Adopt => &[    "403   403   403   403   403   403   403     403   403   401 501"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_an_answer_for_every_column() {
        for operation in Operation::ALL.iter().chain(Operation::OPERATORS) {
            for line in answers(*operation) {
                assert_eq!(
                    line.split_whitespace().count(),
                    Relation::ALL.len(),
                    "{operation:?}: {line}"
                );
            }
            for attached in Attached::ALL {
                for relation in Relation::ALL {
                    let cell = expected(*operation, attached, relation);
                    assert!(
                        (200..=409).contains(&cell.status) || cell.status == 501,
                        "{operation:?}, {relation:?}: {cell:?}"
                    );
                }
            }
        }
    }
}
