//! Every way that a request goes wrong on the caller's side.

use super::Flight;

impl Flight<'_> {
    pub(super) fn wrong_bodies(&mut self) -> anyhow::Result<()> {
        let long = "x".repeat(270_000);
        let wide = "y".repeat(530_000);
        let deep = ("[".repeat(70), "]".repeat(70));
        type Write<'w> = &'w dyn Fn(&str) -> String;
        let create: [(&str, u16, Write<'_>); 17] = [
            ("details of a body that breaks off", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{d}")
            }),
            ("details of a body with more behind it", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{d}}} {d}")
            }),
            ("details without quotation marks", 400, &|d| {
                format!("{{\"name\":\"n\",\"details\":{}}}", d.replace('"', ""))
            }),
            ("details in a list", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":[{d}]}}")
            }),
            ("details given twice", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{d},\"details\":{d}}}")
            }),
            ("a value of an unknown field", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"password\":{d}}}")
            }),
            ("details without a name", 400, &|d| {
                format!("{{\"type\":\"K\",\"details\":{d}}}")
            }),
            ("details in the place of a name", 400, &|d| {
                format!("{{\"name\":[{d}],\"type\":\"K\"}}")
            }),
            ("details in the place of a type", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":{{\"a\":{d}}}}}")
            }),
            ("details that are too long", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"K\",\"details\":{{\"a\":{d},\"b\":\"{long}\"}}}}")
            }),
            ("details that are too deep", 400, &|d| {
                format!(
                    "{{\"name\":\"n\",\"type\":\"K\",\"details\":{{\"a\":{}{d}{}}}}}",
                    deep.0, deep.1
                )
            }),
            ("details in a list of bodies", 400, &|d| {
                format!("[{{\"details\":{d}}}]")
            }),
            ("details behind a byte-order mark", 400, &|d| {
                format!("\u{feff}{{\"details\":{d}}}")
            }),
            ("details alone", 400, &str::to_owned),
            ("details with half a pair", 400, &|d| {
                format!("{{\"name\":\"\\ud800\",\"type\":\"K\",\"details\":{d}}}")
            }),
            ("details with a control character", 400, &|d| {
                format!("{{\"name\":\"n\",\"type\":\"\u{1}\",\"details\":{d}}}")
            }),
            ("details in a body that is too long", 413, &|d| {
                format!("{{\"details\":{d},\"x\":\"{wide}\"}}")
            }),
        ];
        for (what, status, write) in create {
            let (_, details) = self.details(what);
            self.call("connections/create", &write(&details), status)?;
        }
        let others: [(&str, &str, u16, Write<'_>); 17] = [
            ("a cursor", "connections/list", 400, &|s| format!("{{\"cursor\":{s}}}")),
            ("a limit", "connections/list", 400, &|s| format!("{{\"limit\":{s}}}")),
            ("a workspace's id", "connections/list", 400, &|s| {
                format!("{{\"workspace_id\":{s}}}")
            }),
            ("an id", "connections/get_by_id", 400, &|s| format!("{{\"id\":{s}}}")),
            // A name by itself is no secret: the audit trail has those that were asked for.
            ("something in a name's place", "connections/get", 400, &|s| {
                format!("{{\"name\":{{\"password\":{s}}}}}")
            }),
            ("a flag", "connections/get", 400, &|s| {
                format!("{{\"name\":\"n\",\"details\":{s}}}")
            }),
            (
                "something in the place of a name to delete",
                "connections/delete",
                400,
                &|s| format!("{{\"name\":[{s}]}}"),
            ),
            ("a connection to attach", "connections/add_to_workspace", 400, &|s| {
                format!("{{\"workspace_id\":1,\"connection_id\":{s}}}")
            }),
            (
                "something in a workspace's name's place",
                "workspaces/create",
                400,
                &|s| format!("{{\"workspace_name\":[{s}]}}"),
            ),
            ("something in a user's place", "workspaces/list", 400, &|s| {
                format!("{{\"user_id\":{{\"password\":{s}}}}}")
            }),
            ("a role", "workspaces/add_user", 400, &|s| {
                format!("{{\"workspace_id\":1,\"user_id\":\"u\",\"user_type\":{s}}}")
            }),
            ("a workspace to list", "workspaces/list_users", 400, &|s| {
                format!("{{\"workspace_id\":{s}}}")
            }),
            ("a workspace to leave", "workspaces/remove_user", 400, &|s| {
                format!("{{\"workspace_id\":{s},\"user_id\":\"u\"}}")
            }),
            ("a time", "audit/list", 400, &|s| format!("{{\"since\":{s}}}")),
            ("a cursor of an operator's", "admin/keys/status", 400, &|s| {
                format!("{{\"cursor\":[{s}]}}")
            }),
            ("a limit of an operator's", "admin/keys/reseal", 400, &|s| {
                format!("{{\"limit\":{s}}}")
            }),
            ("a cursor of an adoption's", "admin/adopt", 400, &|s| {
                format!("{{\"tenant\":\"acme\",\"owner\":\"ann\",\"cursor\":[{s}]}}")
            }),
        ];
        for (what, operation, status, write) in others {
            let secret = serde_json::to_string(&self.canaries.fresh(what))?;
            self.call(operation, &write(&secret), status)?;
        }
        Ok(())
    }

    pub(super) fn wrong_heads(&mut self) -> anyhow::Result<()> {
        let (_, details) = self.details("details of another content type");
        let request = self.request("connections/create", "content-type: text/plain\r\n", &details);
        self.expect(&request, 415)?;
        let subtype = self.canaries.fresh_token("a content type");
        let request = self.request("connections/create", &format!("content-type: text/{subtype}\r\n"), "{}");
        self.expect(&request, 415)?;
        let (_, details) = self.details("details to no path");
        self.call("connections/createe", &details, 404)?;
        let path = self.canaries.fresh_token("a path");
        self.call(&path, "{}", 404)?;
        let query = self.canaries.fresh_token("a token in the query");
        self.call(
            &format!("connections/get?access_token={query}"),
            "{\"name\":\"n\"}",
            404,
        )?;
        let (_, details) = self.details("details by another method");
        let request = self.request("connections/create", "", &details);
        let put = [b"PUT", request.get(4..).unwrap_or_default()].concat();
        self.expect(&put, 405)?;
        let cookie = self.canaries.fresh_token("a cookie");
        let header = self.canaries.fresh_token("a token in another header");
        let headers = format!("cookie: a={cookie}\r\nx-api-key: {header}\r\n");
        let request = self.request("connections/get", &headers, "{\"name\":\"n\"}");
        self.expect(&request, 404)?;
        Ok(())
    }

    /// Refused where tokens are asked for, and not looked at where none are.
    pub(super) fn wrong_tokens(&mut self) -> anyhow::Result<()> {
        let forms = [
            "authorization: Bearer {}\r\n",
            "authorization: bearer  {}==\r\n",
            "authorization: Bearer a{}.b.c\r\n",
            "authorization: Bearer patchbay_{}\r\n",
            "authorization: Basic {}\r\n",
            "authorization: {}\r\n",
            "authorization: Bearer {} x\r\n",
            "authorization: Bearer {}\r\nauthorization: Bearer x\r\n",
            "authorization: Bearer,{}\r\n",
            "authorization: Bearer \u{e9}{}\r\n",
            "proxy-authorization: Bearer {}\r\n",
            "x-authorization: Bearer {}\r\n",
        ];
        for form in forms {
            let token = self.canaries.fresh_token(form.trim_end());
            let (_, details) = self.details("details with a wrong token");
            let request = self.post("connections/get", &form.replace("{}", &token), &details);
            self.send(&request)?;
        }
        Ok(())
    }

    /// Requests that are no whole ones. A home may close the connection on them without a word.
    pub(super) fn broken_off(&mut self) -> anyhow::Result<()> {
        let (_, details) = self.details("details of half a body");
        let whole = self.request("connections/create", "", &details);
        self.break_off(whole.get(..whole.len() - details.len() / 2).unwrap_or_default())?;
        let chunked = format!("{}transfer-encoding: chunked\r\n", self.bearer());
        let (_, details) = self.details("details in chunks that are none");
        let request = self.head("connections/create", &chunked) + &format!("zz\r\n{details}\r\n");
        self.send(request.as_bytes())?;
        let (_, details) = self.details("details in chunks that are too many");
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let first = format!("{:x}\r\n{details}\r\n", details.len());
        // Whole: who reads it to its end before it answers waits for one.
        let request = self.head("connections/create", &chunked) + &first + &chunk.repeat(9) + "0\r\n\r\n";
        self.send(request.as_bytes())?;
        let (_, details) = self.details("details behind a byte that is no text");
        let mut request = self.request("connections/create", "", &format!("?{details}"));
        let place = request.len() - details.len() - 1;
        request.iter_mut().skip(place).take(1).for_each(|byte| *byte = 0xff);
        self.expect(&request, 400)?;
        for garbage in ["{} HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n{}\r\n\r\n", "{}\r\n\r\n"] {
            let token = self.canaries.fresh_token("a head that is none");
            self.break_off(garbage.replace("{}", &token).as_bytes())?;
        }
        let token = self.canaries.fresh_token("a head that is too long");
        let headers = format!("authorization: Bearer {token}{}\r\n", "x".repeat(40_000));
        let request = self.post("connections/get", &headers, "{}");
        self.send(&request)?;
        Ok(())
    }
}
