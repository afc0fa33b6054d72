//! The outbox's tables and statements. Integer forms: `kept.kind` 0 a connection by name, 1 by id, 2 the workspaces of a
//! caller; `since.kind` 0 a connection, 1 a person by subject, 2 by e-mail. Of `kept`, `?1` to `?3` are the key.

use patchbay_sql::schema::Schema;

use crate::adoption;

/// What marks an entry as due: a second after it was last written, since KV takes one write a second of a key.
macro_rules! due {
    ($which:literal) => {
        concat!("UPDATE kept SET due_at = tried_at + 1000000 WHERE ", $which, ";")
    };
}

/// A moment, with which `since` is brought up to date for (kind, what).
macro_rules! moment {
    ($what:literal) => {
        concat!(
            "UPDATE meta SET value = value + 1 WHERE key = 'moment';
             INSERT INTO since (kind, what, moment) SELECT ",
            $what,
            ", value FROM meta WHERE key = 'moment'
               ON CONFLICT (kind, what) DO UPDATE SET moment = excluded.moment;"
        )
    };
}

/// What notes which entries outlive what seals their record, before another key does or the record goes.
macro_rules! left {
    ($which:literal) => {
        concat!(
            "INSERT INTO left_in_kv (key_id, kind, what, good_until)
               SELECT OLD.key_id, kind, what, good_until FROM kept WHERE ",
            $which,
            " ON CONFLICT (key_id, kind, what) DO UPDATE SET good_until = max(good_until, excluded.good_until);"
        )
    };
}

/// A step of the store's schema that makes a table anew takes its triggers along: then a step here makes them again.
pub(crate) const SCHEMA: Schema = Schema {
    key: "outbox",
    steps: &[KEPT, LEFT, adoption::TABLES],
};

const KEPT: &[&str] = &[
    "CREATE TABLE tenant (name TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID",
    // what: name, id or subject. email: of a caller, '' if none. tried_at: when it was last written to KV, or tried
    // to be. moment: of what was written. failures: of writes in a row. unsure_until: when all writes are over that
    // may arrive late; NULL if there are none. While it is set, something is due.
    "CREATE TABLE kept (
            kind INTEGER NOT NULL, what ANY NOT NULL, email TEXT NOT NULL,
            tried_at INTEGER NOT NULL, moment INTEGER NOT NULL, due_at INTEGER, failures INTEGER NOT NULL,
            unsure_until INTEGER,
            PRIMARY KEY (kind, what, email)) STRICT, WITHOUT ROWID",
    "CREATE INDEX kept_due ON kept (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX kept_settled ON kept (tried_at) WHERE due_at IS NULL",
    "CREATE INDEX kept_by_email ON kept (email) WHERE email <> ''",
    // what: a connection's seq, or subject or e-mail.
    "CREATE TABLE since (
            kind INTEGER NOT NULL, what ANY NOT NULL, moment INTEGER NOT NULL,
            PRIMARY KEY (kind, what)) STRICT, WITHOUT ROWID",
    "INSERT INTO meta (key, value) VALUES ('moment', 0)",
    concat!(
        "CREATE TRIGGER connection_made AFTER INSERT ON connection BEGIN ",
        due!("kind = 0 AND what = NEW.name"),
        " END"
    ),
    concat!(
        "CREATE TRIGGER connection_changed AFTER UPDATE ON connection BEGIN ",
        due!("kind = 0 AND what = NEW.name"),
        due!("kind = 1 AND what = NEW.id"),
        " END"
    ),
    concat!(
        "CREATE TRIGGER connection_gone AFTER DELETE ON connection BEGIN ",
        "DELETE FROM since WHERE kind = 0 AND what = OLD.seq;",
        due!("kind = 0 AND what = OLD.name"),
        due!("kind = 1 AND what = OLD.id"),
        " END"
    ),
    concat!(
        "CREATE TRIGGER attachment_made AFTER INSERT ON attachment BEGIN ",
        moment!("0, NEW.seq"),
        due!("kind = 0 AND what = NEW.name"),
        due!("kind = 1 AND what = (SELECT id FROM connection WHERE seq = NEW.seq)"),
        " END"
    ),
    concat!(
        "CREATE TRIGGER attachment_gone AFTER DELETE ON attachment BEGIN ",
        moment!("0, OLD.seq"),
        due!("kind = 0 AND what = OLD.name"),
        due!("kind = 1 AND what = (SELECT id FROM connection WHERE seq = OLD.seq)"),
        " END"
    ),
    concat!(
        "CREATE TRIGGER member_made AFTER INSERT ON member BEGIN ",
        moment!("NEW.kind + 1, NEW.subject"),
        due!("kind = 2 AND what = NEW.subject AND NEW.kind = 0"),
        due!("kind = 2 AND email = NEW.subject AND email <> '' AND NEW.kind = 1"),
        " END"
    ),
    concat!(
        "CREATE TRIGGER member_gone AFTER DELETE ON member BEGIN ",
        moment!("OLD.kind + 1, OLD.subject"),
        due!("kind = 2 AND what = OLD.subject AND OLD.kind = 0"),
        due!("kind = 2 AND email = OLD.subject AND email <> '' AND OLD.kind = 1"),
        " END"
    ),
];

const LEFT: &[&str] = &[
    // Until when what KV may have of an entry is good for a reader; 0 if it has nothing. Of one from before this step that
    // is not known, but no lease is longer than a day.
    "ALTER TABLE kept ADD COLUMN good_until INTEGER NOT NULL DEFAULT 0",
    "UPDATE kept SET good_until = tried_at + 86520000000",
    "DROP INDEX kept_settled",
    "CREATE INDEX kept_settled ON kept (good_until) WHERE due_at IS NULL",
    // Entries of connections that KV may have still as a key sealed them which seals them no more.
    "CREATE TABLE left_in_kv (
        key_id TEXT NOT NULL, kind INTEGER NOT NULL, what ANY NOT NULL, good_until INTEGER NOT NULL,
        PRIMARY KEY (key_id, kind, what)) STRICT, WITHOUT ROWID",
    "CREATE INDEX left_in_kv_until ON left_in_kv (good_until)",
    concat!(
        "CREATE TRIGGER connection_resealed AFTER UPDATE OF key_id ON connection WHEN NEW.key_id <> OLD.key_id BEGIN ",
        left!("kind = 0 AND what = OLD.name"),
        left!("kind = 1 AND what = OLD.id"),
        " END"
    ),
    concat!(
        "CREATE TRIGGER connection_left AFTER DELETE ON connection BEGIN ",
        left!("kind = 0 AND what = OLD.name"),
        left!("kind = 1 AND what = OLD.id"),
        " END"
    ),
];

/// Whether an entry is in order: due already, or written not before `?4` and from the moment `?5` or later.
pub(super) const GOOD: &str = "SELECT 1 FROM kept WHERE kind = ?1 AND what = ?2 AND email = ?3
    AND (due_at IS NOT NULL OR (tried_at >= ?4 AND moment >= ?5))";
/// `?4` now.
pub(super) const WANT: &str =
    "INSERT INTO kept (kind, what, email, tried_at, moment, due_at, failures) VALUES (?1, ?2, ?3, 0, 0, ?4, 0)
    ON CONFLICT (kind, what, email) DO UPDATE SET due_at = max(?4, tried_at + 1000000) WHERE due_at IS NULL";
/// `?1` now, `?2` how many.
pub(super) const DUE: &str =
    "SELECT kind, what, email, unsure_until FROM kept WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2";
pub(super) const NEXT_DUE: &str = "SELECT due_at FROM kept WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";
/// `?4` now, `?5` the moment, `?6` when the write is over and due again, unless it is heard of; `?7` until when it is good,
/// which what KV had before may be for longer.
pub(super) const TAKE: &str = "UPDATE kept SET tried_at = ?4, moment = ?5, due_at = ?6, unsure_until = ?6,
      good_until = max(good_until, ?7)
    WHERE kind = ?1 AND what = ?2 AND email = ?3";
/// `?4` now, `?5` what TAKE said: any other value is a trigger's, since something changed during the write. `?6` when
/// the writes before this one are over, if not when it began: the next after that is the first to be sure of.
pub(super) const WRITTEN: &str = "UPDATE kept SET tried_at = ?4, failures = 0, unsure_until = ?6,
      due_at = CASE WHEN due_at <> ?5 THEN ?4 + 1000000 ELSE max(?6, ?4 + 1000000) END
    WHERE kind = ?1 AND what = ?2 AND email = ?3";
/// `?4` now, `?5` the longest wait in seconds, `?6` when the write is over.
pub(super) const FAILED: &str = "UPDATE kept SET tried_at = ?4, failures = failures + 1, unsure_until = ?6,
      due_at = ?4 + 1000000 * min(1 << min(failures + 1, 20), ?5)
    WHERE kind = ?1 AND what = ?2 AND email = ?3";
/// `?1` now, `?2` how many.
pub(super) const FORGET: &str = "DELETE FROM kept WHERE (kind, what, email) IN (
    SELECT kind, what, email FROM kept WHERE due_at IS NULL AND good_until < ?1 ORDER BY good_until LIMIT ?2)";
/// The same.
pub(super) const FORGET_LEFT: &str = "DELETE FROM left_in_kv WHERE (key_id, kind, what) IN (
    SELECT key_id, kind, what FROM left_in_kv WHERE good_until < ?1 ORDER BY good_until LIMIT ?2)";
/// `?1` now.
pub(super) const COUNT_LEFT: &str =
    "SELECT key_id, count(*) FROM left_in_kv WHERE key_id >= '' AND good_until >= ?1 GROUP BY key_id";

pub(super) const TENANT: &str = "SELECT name FROM tenant";
pub(super) const SET_TENANT: &str = "INSERT INTO tenant (name) VALUES (?1) ON CONFLICT (name) DO NOTHING";

pub(super) const MOMENT: &str = "SELECT value FROM meta WHERE key = 'moment'";
pub(super) const SINCE_BY_NAME: &str = "SELECT s.moment FROM connection c JOIN since s ON s.kind = 0 AND s.what = c.seq
    WHERE c.tenant = ?1 AND c.name = ?2";
pub(super) const SINCE_BY_ID: &str = "SELECT s.moment FROM connection c JOIN since s ON s.kind = 0 AND s.what = c.seq
    WHERE c.tenant = ?1 AND c.id = ?2";
/// `?1` subject, `?2` e-mail.
pub(super) const SINCE_OF_CALLER: &str = "SELECT ifnull(max(moment), 0) FROM (
    SELECT moment FROM since WHERE kind = 1 AND what = ?1 UNION ALL SELECT moment FROM since WHERE kind = 2 AND what = ?2)";

#[cfg(test)]
mod tests {
    use patchbay_sql::database::Database as _;
    use patchbay_sql::schema;

    use super::*;

    /// The statements within a trigger, with parameters for what it is about.
    fn within(trigger: &str) -> Vec<String> {
        let (_, body) = trigger.split_once(" BEGIN ").unwrap();
        let words = body.split_inclusive([' ', ',', ')', ';']);
        let plain: String = words
            .map(|word| match word.strip_prefix("NEW.").or(word.strip_prefix("OLD.")) {
                Some(column) => format!(
                    "?{}",
                    column.trim_start_matches(|c: char| c.is_alphabetic() || c == '_')
                ),
                None => word.to_owned(),
            })
            .collect();
        let statements = plain.split(';').map(str::trim);
        statements
            .filter(|sql| !sql.is_empty() && *sql != "END")
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn no_statement_and_no_trigger_scans_a_table() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        schema::migrate(&connection).unwrap();
        connection
            .transaction(|statements| SCHEMA.migrate_in(statements))
            .unwrap();
        let steps = SCHEMA.steps.iter().copied().flatten();
        let triggers = steps.filter(|sql| sql.starts_with("CREATE TRIGGER"));
        let within: Vec<String> = triggers.flat_map(|trigger| within(trigger)).collect();
        assert_eq!(within.len(), 26);
        let own = [
            GOOD,
            WANT,
            DUE,
            NEXT_DUE,
            TAKE,
            WRITTEN,
            FAILED,
            FORGET,
            FORGET_LEFT,
            COUNT_LEFT,
            MOMENT,
            SINCE_BY_NAME,
            SINCE_BY_ID,
            SINCE_OF_CALLER,
        ];
        for sql in own.into_iter().chain(within.iter().map(String::as_str)) {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nulls = vec![rusqlite::types::Null; plan.parameter_count()];
            let mut rows = plan.query(rusqlite::params_from_iter(nulls)).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let step: String = row.get(3).unwrap();
                // What an index has in order is walked from its start and no further than asked for.
                let walk = [
                    "SCAN kept USING INDEX kept_due",
                    "SCAN kept USING COVERING INDEX kept_due",
                ];
                let whole = step.contains("SCAN ") && !walk.contains(&step.as_str()) && !step.contains("(subquery");
                assert!(!whole, "{sql}: {step}");
            }
        }
    }

    /// Of entries from before the step that notes it, none is good for longer than that says.
    #[test]
    fn what_was_kept_before_a_database_knew_for_how_long_is_taken_to_be_good_for_a_day() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        schema::migrate(&connection).unwrap();
        let before = Schema {
            steps: SCHEMA.steps.get(..1).unwrap(),
            ..SCHEMA
        };
        connection
            .transaction(|statements| before.migrate_in(statements))
            .unwrap();
        connection
            .execute_batch(
                "INSERT INTO connection (tenant, id, name, type, owner, created_at, key_id, sealed)
                   VALUES ('t', zeroblob(16), 'c', 'K', 'o', 1, 'old', x'01');
                 INSERT INTO kept (kind, what, email, tried_at, moment, failures) VALUES (0, 'c', '', 5, 0, 0)",
            )
            .unwrap();
        connection
            .transaction(|statements| SCHEMA.migrate_in(statements))
            .unwrap();
        connection
            .execute_batch("UPDATE connection SET key_id = 'new'")
            .unwrap();
        let left = |now: i64| {
            let counted = connection.query_row(COUNT_LEFT, [now], |row| Ok((row.get(0)?, row.get(1)?)));
            counted.ok()
        };
        let day = 86_400_000_000 + 120_000_000;
        assert_eq!(left(5 + day), Some(("old".to_owned(), 1)));
        assert_eq!(left(6 + day), None);
    }
}
