//! Takes canaries through a home on whose side something is wrong.

use serde_json::Value;

use super::callers::ADOPTERS;
use super::{Flight, Landed};

/// An id that nothing has.
const NOBODYS: &str = "00000000-0000-4000-8000-000000000000";

impl Flight<'_> {
    /// Asks for everything, so many times, of a home that may do nothing of it; the connections asked for are those that
    /// stayed from other flights, where it can say which. Whoever looks at what came of it knows which statuses should be
    /// among it.
    ///
    /// # Errors
    /// Where there is no home.
    pub fn in_vain(mut self, rounds: usize) -> anyhow::Result<Landed> {
        for round in 0..rounds {
            self.round = round;
            let (name, id) = self.stayed()?;
            let (_, details) = self.details("details for a home that fails");
            let new = format!("in-vain-{}", fastrand::u64(..));
            let place = format!("{{\"workspace_id\":1,\"connection_id\":\"{id}\"}}");
            let guest = "{\"workspace_id\":1,\"user_id\":\"guest\"}";
            let asked = [
                (
                    "connections/create",
                    format!("{{\"name\":\"{new}\",\"type\":\"K\",\"details\":{details}}}"),
                ),
                ("connections/get", format!("{{\"name\":\"{name}\"}}")),
                ("connections/get_by_id", format!("{{\"id\":\"{id}\"}}")),
                ("connections/list", "{}".to_owned()),
                ("connections/add_to_workspace", place.clone()),
                ("connections/remove_from_workspace", place),
                ("workspaces/create", format!("{{\"workspace_name\":\"{new}\"}}")),
                ("workspaces/list", "{}".to_owned()),
                ("workspaces/add_user", guest.to_owned()),
                ("workspaces/list_users", "{\"workspace_id\":1}".to_owned()),
                ("workspaces/remove_user", guest.to_owned()),
                ("audit/list", "{}".to_owned()),
                ("connections/delete", format!("{{\"name\":\"{name}\"}}")),
            ];
            for (operation, body) in asked {
                let request = self.request(operation, "", &body);
                self.send(&request)?;
            }
            let operator = self.operator_bearer().unwrap_or_default();
            for operation in ["admin/keys/status", "admin/keys/reseal"] {
                let request = self.post(operation, &operator, "{}");
                self.send(&request)?;
            }
            let adopt = format!("{{\"tenant\":\"{ADOPTERS}\",\"owner\":\"ann\",\"dry_run\":true}}");
            let request = self.post("admin/adopt", &operator, &adopt);
            self.send(&request)?;
            let bearer = self.bearer();
            let request = self.get("/readyz", &bearer);
            self.send(&request)?;
        }
        Ok(self.landed)
    }

    /// Name and id of a connection that stayed from another flight, or of none.
    fn stayed(&mut self) -> anyhow::Result<(String, String)> {
        let request = self.request("connections/list", "", "{\"details\":false}");
        let (answer, _) = self.send(&request)?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        let list: Value = serde_json::from_str(body).unwrap_or_default();
        let connections = list.get("connections").and_then(Value::as_array).into_iter().flatten();
        let text = |connection: &Value, field| Some(connection.get(field)?.as_str()?.to_owned());
        let mut named = connections.filter_map(|one| Some((text(one, "name")?, text(one, "id")?)));
        let stayed = named.find(|(name, _)| name.starts_with(Self::NAMES));
        Ok(stayed.unwrap_or_else(|| (Self::NAMES.to_owned(), NOBODYS.to_owned())))
    }
}
