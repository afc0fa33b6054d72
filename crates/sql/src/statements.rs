//! Every SQL statement of the operations, in one list, so that a test sees that none scans a table.
//!
//! Parameters have the same place everywhere: `?1` tenant, `?2` the caller's subject, `?3` their e-mail address (NULL
//! if none); from `?4` on they are the statement's own. Integer forms: `member.kind` 0 subject, 1 e-mail; `member.role`
//! 1 COLLABORATOR, 2 OWNER.

/// The attachments of the connection `c`, one a line, each `workspace-id role name`, where role is the caller's in that
/// workspace and 0 if none. Names hold no control characters, so the line feed separates. One column and not a join:
/// that keeps a list at one row a connection, whose sealed bytes are read once. CROSS JOIN fixes the order of the loops.
macro_rules! attached {
    () => {
        "(SELECT group_concat(a.workspace_id || ' ' || max(ifnull(s.role, 0), ifnull(e.role, 0)) || ' ' || w.name, char(10))
           FROM attachment a
           CROSS JOIN workspace w ON w.tenant = a.tenant AND w.id = a.workspace_id
           LEFT JOIN member s ON s.tenant = a.tenant AND s.kind = 0 AND s.subject = ?2 AND s.workspace_id = a.workspace_id
           LEFT JOIN member e ON e.tenant = a.tenant AND e.kind = 1 AND e.subject = ?3 AND e.workspace_id = a.workspace_id
          WHERE a.seq = c.seq)"
    };
}

/// A connection with everything, as [`crate::facts::seen`] reads it.
macro_rules! record {
    () => {
        concat!(
            "c.id, c.name, c.type, c.owner, c.created_at, c.key_id, c.sealed, ",
            attached!()
        )
    };
}

/// As `record!`, with nothing in the place of the details unless `?6` is 1: their pages are not read then.
macro_rules! row {
    () => {
        concat!(
            "c.id, c.name, c.type, c.owner, c.created_at, c.key_id, CASE WHEN ?6 THEN c.sealed ELSE x'' END, ",
            attached!()
        )
    };
}

/// A connection without its details, as [`crate::facts::Facts`] reads it.
macro_rules! facts {
    () => {
        concat!("c.seq, c.id, c.name, c.owner, ", attached!())
    };
}

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*

        /// Every statement, with its name.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

statements! {
    /// Whether storage answers.
    READY = "SELECT value FROM meta WHERE key = 'schema'";

    /// Gives a row if the name was free.
    CREATE = "INSERT INTO connection (tenant, owner, id, name, type, created_at, key_id, sealed)
              VALUES (?1, ?2, ?4, ?5, ?6, ?7, ?8, ?9)
              ON CONFLICT (tenant, name) DO NOTHING RETURNING seq";
    GET_BY_NAME = concat!("SELECT ", record!(), " FROM connection c WHERE c.tenant = ?1 AND c.name = ?4");
    GET_BY_ID = concat!("SELECT ", record!(), " FROM connection c WHERE c.id = ?4 AND c.tenant = ?1");
    FACTS_BY_NAME = concat!("SELECT ", facts!(), " FROM connection c WHERE c.tenant = ?1 AND c.name = ?4");
    FACTS_BY_ID = concat!("SELECT ", facts!(), " FROM connection c WHERE c.id = ?4 AND c.tenant = ?1");
    DELETE = "DELETE FROM connection WHERE seq = ?1";

    /// `?4` the name to start after, `?5` how many rows (negative: all), `?6` whether with details (1 or 0).
    LIST_ALL = concat!(
        "SELECT ", row!(), " FROM connection c WHERE c.tenant = ?1 AND c.name > ?4 ORDER BY c.name LIMIT ?5"
    );
    /// As `LIST_ALL`; `?7` the workspace.
    LIST_WORKSPACE = concat!(
        "SELECT ", row!(), " FROM attachment k CROSS JOIN connection c ON c.seq = k.seq
          WHERE k.tenant = ?1 AND k.workspace_id = ?7 AND k.name > ?4 ORDER BY k.name LIMIT ?5"
    );
    /// As `LIST_ALL`, for somebody who is no admin: merges the keys of what they own with those of each workspace that
    /// they are in. Of each workspace no more than a page's worth of keys is read: `name` stops at its last one (no
    /// text comes after the blob x'', which stands for "to the end").
    LIST_SEEN = concat!(
        "WITH key(name, seq) AS (
           SELECT * FROM (SELECT c.name, c.seq FROM connection c
                           WHERE c.tenant = ?1 AND c.owner = ?2 AND c.name > ?4 ORDER BY c.name LIMIT ?5)
           UNION
           SELECT a.name, a.seq FROM member m CROSS JOIN attachment a
            WHERE m.tenant = ?1 AND m.kind = 0 AND m.subject = ?2
              AND a.tenant = ?1 AND a.workspace_id = m.workspace_id AND a.name > ?4
              AND a.name <= CASE WHEN ?5 < 0 THEN x'' ELSE ifnull((SELECT l.name FROM attachment l
                    WHERE l.tenant = ?1 AND l.workspace_id = m.workspace_id AND l.name > ?4
                    ORDER BY l.name LIMIT 1 OFFSET ?5), x'') END
           UNION
           SELECT a.name, a.seq FROM member m CROSS JOIN attachment a
            WHERE m.tenant = ?1 AND m.kind = 1 AND m.subject = ?3
              AND a.tenant = ?1 AND a.workspace_id = m.workspace_id AND a.name > ?4
              AND a.name <= CASE WHEN ?5 < 0 THEN x'' ELSE ifnull((SELECT l.name FROM attachment l
                    WHERE l.tenant = ?1 AND l.workspace_id = m.workspace_id AND l.name > ?4
                    ORDER BY l.name LIMIT 1 OFFSET ?5), x'') END
           ORDER BY 1 LIMIT ?5)
         SELECT ", row!(), " FROM key CROSS JOIN connection c ON c.seq = key.seq ORDER BY key.name"
    );

    /// `?4` the workspace; gives the caller's role in it, 0 if none, and nothing if it is not stored.
    WORKSPACE_ROLE = "SELECT max(ifnull(s.role, 0), ifnull(e.role, 0)) FROM workspace w
           LEFT JOIN member s ON s.tenant = w.tenant AND s.kind = 0 AND s.subject = ?2 AND s.workspace_id = w.id
           LEFT JOIN member e ON e.tenant = w.tenant AND e.kind = 1 AND e.subject = ?3 AND e.workspace_id = w.id
          WHERE w.tenant = ?1 AND w.id = ?4";
    /// `?1` the connection's seq, `?2` the workspace.
    ATTACHMENT = "SELECT id FROM attachment WHERE seq = ?1 AND workspace_id = ?2";
    /// `?2` workspace, `?3` the connection's name, `?4` its seq, `?5` the attachment's id.
    ATTACH = "INSERT INTO attachment (tenant, workspace_id, name, seq, id) VALUES (?1, ?2, ?3, ?4, ?5)";
    /// `?2` workspace, `?3` the connection's name.
    DETACH = "DELETE FROM attachment WHERE tenant = ?1 AND workspace_id = ?2 AND name = ?3";

    /// `?2` created by, `?3` id, `?4` name, `?5` created at. Gives a row if the name was free.
    CREATE_WORKSPACE = "INSERT INTO workspace (tenant, created_by, id, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
              ON CONFLICT (tenant, name) DO NOTHING RETURNING id";
    /// `?2` name.
    WORKSPACE_NAMED = "SELECT id FROM workspace WHERE tenant = ?1 AND name = ?2";
    /// `?2` kind, `?3` subject or e-mail, `?4` workspace, `?5` role, `?6` the e-mail beside a subject. The role given
    /// replaces the one there was, and so does the e-mail where there is one.
    PUT_MEMBER = "INSERT INTO member (tenant, kind, subject, workspace_id, role, email) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
              ON CONFLICT (tenant, kind, subject, workspace_id)
              DO UPDATE SET role = excluded.role, email = ifnull(excluded.email, email)";
    /// `?2` kind, `?3` subject or e-mail, `?4` workspace.
    REMOVE_MEMBER = "DELETE FROM member WHERE tenant = ?1 AND kind = ?2 AND subject = ?3 AND workspace_id = ?4";
    /// `?2` the workspace.
    MEMBERS = "SELECT kind, subject, role, email FROM member WHERE tenant = ?1 AND workspace_id = ?2 ORDER BY kind, subject";
    /// The last id that the counter gave.
    COUNTER = "SELECT last FROM counter WHERE tenant = ?1";
    /// `?2` the last id given.
    SET_COUNTER = "INSERT INTO counter (tenant, last) VALUES (?1, ?2) ON CONFLICT (tenant) DO UPDATE SET last = excluded.last";
    /// The first id from `?2` on that is not taken, if `?2` itself is: walks the ids from there to the first gap.
    NEXT_FREE = "SELECT w.id + 1 FROM workspace w WHERE w.tenant = ?1 AND w.id >= ?2
            AND NOT EXISTS (SELECT 1 FROM workspace x WHERE x.tenant = w.tenant AND x.id = w.id + 1)
          ORDER BY w.id LIMIT 1";
    /// `?2` id.
    WORKSPACE_EXISTS = "SELECT 1 FROM workspace WHERE tenant = ?1 AND id = ?2";
    /// How many workspaces somebody is in, by subject or e-mail.
    WORKSPACES_OF_COUNT = "SELECT count(*) FROM (
            SELECT workspace_id FROM member WHERE tenant = ?1 AND kind = 0 AND subject = ?2
            UNION SELECT workspace_id FROM member WHERE tenant = ?1 AND kind = 1 AND subject = ?3)";
    WORKSPACES = "SELECT id, name, created_by, created_at FROM workspace WHERE tenant = ?1 ORDER BY id";
    WORKSPACES_OF = "SELECT w.id, w.name, w.created_by, w.created_at FROM (
            SELECT workspace_id FROM member WHERE tenant = ?1 AND kind = 0 AND subject = ?2
            UNION SELECT workspace_id FROM member WHERE tenant = ?1 AND kind = 1 AND subject = ?3) m
          CROSS JOIN workspace w ON w.tenant = ?1 AND w.id = m.workspace_id ORDER BY w.id";

    // For the rotation of keys, over all tenants.

    COUNT_BY_KEY = "SELECT key_id, count(*) FROM connection WHERE key_id >= '' GROUP BY key_id";
    /// As the next one, for what is sealed with `?3`.
    SEALED_WITH = "SELECT c.id, c.name, c.type, c.owner, c.created_at, c.key_id, c.sealed, c.tenant, c.seq
          FROM connection c WHERE c.key_id = ?3 AND c.seq > ?2 ORDER BY c.seq LIMIT ?4";
    /// `?1` and `?2` key and seq to start after, `?3` the key that seals now, `?4` how many rows. The order is that of the
    /// index on keys, which passes over what is sealed with `?3` without reading it.
    SEALED_OTHERWISE = "SELECT c.id, c.name, c.type, c.owner, c.created_at, c.key_id, c.sealed, c.tenant, c.seq
          FROM connection c WHERE (c.key_id, c.seq) > (?1, ?2) AND c.key_id <> ?3 ORDER BY c.key_id, c.seq LIMIT ?4";
    /// `?1` id, `?2` the key and `?5` the owner that are expected, `?3` and `?4` the new key and sealed bytes. Gives a row
    /// if it was so.
    RESEAL = "UPDATE connection SET key_id = ?3, sealed = ?4 WHERE id = ?1 AND key_id = ?2 AND owner = ?5 RETURNING seq";

    // What walks a whole table, for export and check: a range of its key from the first on, in its order.

    EVERY_COUNTER = "SELECT tenant, last FROM counter WHERE tenant >= '' ORDER BY tenant";
    /// With the last id of the tenant's counter, 0 if none.
    EVERY_WORKSPACE = "SELECT w.id, w.name, w.created_by, w.created_at, w.tenant,
            ifnull((SELECT last FROM counter WHERE tenant = w.tenant), 0)
          FROM workspace w WHERE w.tenant >= '' ORDER BY w.tenant, w.id";
    EVERY_MEMBER = "SELECT m.kind, m.subject, m.role, m.tenant, m.workspace_id, m.email FROM member m
          WHERE m.tenant >= '' ORDER BY m.tenant, m.kind, m.subject";
    EVERY_CONNECTION = "SELECT c.id, c.name, c.type, c.owner, c.created_at, c.key_id, c.sealed, c.tenant, c.seq
          FROM connection c WHERE c.tenant >= '' ORDER BY c.tenant, c.name";
    EVERY_ATTACHMENT = "SELECT a.id, a.workspace_id, c.tenant = a.tenant AND c.name = a.name
          FROM attachment a LEFT JOIN connection c ON c.seq = a.seq WHERE a.tenant >= '' ORDER BY a.tenant";
    /// `?1` the connection's seq.
    ATTACHMENTS = "SELECT workspace_id, id FROM attachment WHERE seq = ?1 ORDER BY workspace_id";

    // For import, which names what clashes.

    /// `?1` id, over all tenants.
    CONNECTION_EXISTS = "SELECT 1 FROM connection WHERE id = ?1";
    /// `?1` id, over all tenants.
    ATTACHMENT_EXISTS = "SELECT 1 FROM attachment WHERE id = ?1";
    /// `?2` an id that was given; the counter never goes back.
    RAISE_COUNTER = "INSERT INTO counter (tenant, last) VALUES (?1, ?2)
          ON CONFLICT (tenant) DO UPDATE SET last = max(last, excluded.last)";

    // For adoption: `?1` the tenant and `?2` the subject whose things these are, `?3` the tenant that gets them.

    /// Connections whose names the tenant has already.
    TAKEN_NAMES = "SELECT c.name FROM connection c CROSS JOIN connection x ON x.tenant = ?3 AND x.name = c.name
          WHERE c.tenant = ?1 AND c.owner = ?2 ORDER BY c.name";
    /// Workspaces whose id, or else name, the tenant has already; whether it is the id.
    TAKEN_WORKSPACES = "SELECT w.id, w.name, 1 FROM workspace w
          CROSS JOIN workspace x ON x.tenant = ?3 AND x.id = w.id
          WHERE w.tenant = ?1 AND w.created_by = ?2
        UNION ALL SELECT w.id, w.name, 0 FROM workspace w
          CROSS JOIN workspace x ON x.tenant = ?3 AND x.name = w.name AND x.id <> w.id
          WHERE w.tenant = ?1 AND w.created_by = ?2 ORDER BY 1";
    /// Attachments of which one side is the subject's and the other is not.
    PARTED = "SELECT c.name, w.id FROM workspace w
          CROSS JOIN attachment a ON a.tenant = w.tenant AND a.workspace_id = w.id
          CROSS JOIN connection c ON c.seq = a.seq
          WHERE w.tenant = ?1 AND (w.created_by = ?2) <> (c.owner = ?2) ORDER BY w.id, a.name";
    /// Members of the subject's workspaces, the subject apart, who would be in more than `?4`.
    CROWDED = "SELECT m.subject, count(*) + (SELECT count(*) FROM member x
                WHERE x.tenant = ?3 AND x.kind = m.kind AND x.subject = m.subject) AS among
          FROM member m CROSS JOIN workspace w ON w.tenant = m.tenant AND w.id = m.workspace_id AND w.created_by = ?2
          WHERE m.tenant = ?1 AND NOT (m.kind = 0 AND m.subject = ?2)
          GROUP BY m.kind, m.subject HAVING among > ?4";
    WORKSPACES_BY = "SELECT id FROM workspace WHERE tenant = ?1 AND created_by = ?2 ORDER BY id";
    /// `?4` the new owner. Within a tenant this is all there is to do with workspaces. From one to another it is the next
    /// three, in this order, so that a member and an attachment always have theirs.
    HAND_WORKSPACES = "UPDATE workspace SET created_by = ?4 WHERE tenant = ?1 AND created_by = ?2";
    COPY_WORKSPACES = "INSERT INTO workspace (tenant, created_by, id, name, created_at)
          SELECT ?3, ?4, id, name, created_at FROM workspace WHERE tenant = ?1 AND created_by = ?2";
    MOVE_MEMBERS = "UPDATE member SET tenant = ?3 WHERE tenant = ?1
          AND workspace_id IN (SELECT w.id FROM workspace w WHERE w.tenant = ?1 AND w.created_by = ?2)";
    DROP_WORKSPACES = "DELETE FROM workspace WHERE tenant = ?1 AND created_by = ?2";
    /// `?3` the new tenant, `?4` the new owner, `?5` the connection's seq, `?6` key id, `?7` sealed.
    MOVE_CONNECTION = "UPDATE connection SET tenant = ?3, owner = ?4, key_id = ?6, sealed = ?7 WHERE seq = ?5";
    /// The same.
    MOVE_ATTACHMENTS = "UPDATE attachment SET tenant = ?3 WHERE seq = ?5";

    // For an adoption between two databases: `?1` the tenant and `?2` the subject whose things these are.

    /// `?3` the name to start after, `?4` how many.
    OWNED = "SELECT c.id, c.name, c.type, c.owner, c.created_at, c.key_id, c.sealed, c.seq
          FROM connection c WHERE c.tenant = ?1 AND c.owner = ?2 AND c.name > ?3 ORDER BY c.name LIMIT ?4";
    /// `?3` the connection's seq: those to the subject's own workspaces.
    OWN_ATTACHMENTS = "SELECT a.workspace_id, a.id FROM attachment a
          CROSS JOIN workspace w ON w.tenant = ?1 AND w.id = a.workspace_id AND w.created_by = ?2
          WHERE a.seq = ?3 ORDER BY a.workspace_id";
    /// `?3` the id to start after, `?4` how many.
    MADE = "SELECT id, name, created_by, created_at FROM workspace
          WHERE tenant = ?1 AND created_by = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    /// `?3` how many rows there may be of each: how many there are of connections; and of attachments to the subject's
    /// workspaces, members of these, and the workspaces themselves.
    HOW_MUCH = "SELECT
          (SELECT count(*) FROM (SELECT 1 FROM connection WHERE tenant = ?1 AND owner = ?2 LIMIT ?3)),
          (SELECT count(*) FROM (SELECT 1 FROM workspace w CROSS JOIN attachment a ON a.tenant = ?1 AND a.workspace_id = w.id
            WHERE w.tenant = ?1 AND w.created_by = ?2 LIMIT ?3)) +
          (SELECT count(*) FROM (SELECT 1 FROM workspace w CROSS JOIN member m ON m.tenant = ?1 AND m.workspace_id = w.id
            WHERE w.tenant = ?1 AND w.created_by = ?2 LIMIT ?3)) +
          (SELECT count(*) FROM (SELECT 1 FROM workspace WHERE tenant = ?1 AND created_by = ?2 LIMIT ?3)),
          (SELECT ifnull(sum(bytes), 0) FROM (SELECT length(sealed) AS bytes FROM connection
            WHERE tenant = ?1 AND owner = ?2 LIMIT ?3))";
    /// `?4` how many: the seqs of the first connections.
    OWNED_SEQS = "SELECT seq FROM connection WHERE tenant = ?1 AND owner = ?2 ORDER BY name LIMIT ?4";
    /// `?1` the connection's seq.
    DETACH_ALL = "DELETE FROM attachment WHERE seq = ?1";
    DROP_MEMBERS = "DELETE FROM member WHERE tenant = ?1
          AND workspace_id IN (SELECT w.id FROM workspace w WHERE w.tenant = ?1 AND w.created_by = ?2)";

    // For the audit trail.

    /// `?1` a record. Gives its row's number, which none had before: those of rows that are gone are in the trail.
    ADD_AUDIT = "INSERT INTO audit (seq, record) VALUES (1 + max(ifnull((SELECT max(seq) FROM audit), 0),
          ifnull((SELECT seq FROM audit_head WHERE one = 1), 0)), ?1) RETURNING seq";
    /// The rows after `?1`.
    AUDIT_AFTER = "SELECT seq, record FROM audit WHERE seq > ?1 ORDER BY seq";
    /// The rows up to `?1`.
    DELETE_AUDIT = "DELETE FROM audit WHERE seq <= ?1";
    AUDIT_HEAD = "SELECT number, hash, file, bytes, seq FROM audit_head WHERE one = 1";
    SET_AUDIT_HEAD = "INSERT INTO audit_head (one, number, hash, file, bytes, seq) VALUES (1, ?1, ?2, ?3, ?4, ?5)
          ON CONFLICT (one) DO UPDATE SET number = excluded.number, hash = excluded.hash, file = excluded.file,
            bytes = excluded.bytes, seq = excluded.seq";
}
