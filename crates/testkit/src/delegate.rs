//! Stores that do as another one does, but for a few operations.

/// Writes these methods of a [`Store`](patchbay_core::store::Store) so that each hands on what it is asked for to the
/// store in the field `$to`: `delegate!(store: get list ready);`. The types must be in scope by their names.
#[macro_export]
macro_rules! delegate {
    ($to:tt: $($method:ident)+) => { $($crate::delegate!(@$method $to);)+ };

    (@get $to:tt) => { $crate::delegate!($to get(lookup: Lookup) -> Option<Seen>); };
    (@list $to:tt) => { $crate::delegate!($to list(query: ListQuery) -> ListOutcome); };
    (@attach $to:tt) => { $crate::delegate!($to attach(attach: Attach) -> AttachOutcome); };
    (@detach $to:tt) => {
        $crate::delegate!($to detach(connection: ConnectionId, workspace: WorkspaceId) -> DetachOutcome);
    };
    (@delete $to:tt) => { $crate::delegate!($to delete(name: Name) -> DeleteOutcome); };
    (@create_workspace $to:tt) => {
        $crate::delegate!($to create_workspace(name: Name, now: Timestamp) -> CreateWorkspaceOutcome);
    };
    (@list_workspaces $to:tt) => {
        $crate::delegate!($to list_workspaces(of: WorkspacesOf, most_bytes: usize) -> ListWorkspacesOutcome);
    };
    (@add_member $to:tt) => { $crate::delegate!($to add_member(add: AddMember) -> AddMemberOutcome); };
    (@members $to:tt) => { $crate::delegate!($to members(workspace: WorkspaceId) -> MembersOutcome); };
    (@remove_member $to:tt) => {
        $crate::delegate!($to remove_member(workspace: WorkspaceId, person: Person) -> RemoveMemberOutcome);
    };
    (@ready $to:tt) => {
        async fn ready(&self) -> Result<(), StoreError> {
            self.$to.ready().await
        }
    };

    ($to:tt $method:ident($($name:ident: $type:ty),+) -> $outcome:ty) => {
        async fn $method(&self, caller: &Caller, $($name: $type),+) -> Result<$outcome, StoreError> {
            self.$to.$method(caller, $($name),+).await
        }
    };
}
