//! The folder's upkeep where a test must reach into the files: seeded damage, restores cut short, the log's bound.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use common::{FixedHost, K1, K2};
use patchbay_core::model::{
    AttachmentId, Caller, ConnectionId, ConnectionType, KeyId, Name, Record, Sealed, Subject, Tenant, Timestamp,
    WorkspaceId, Workspaces,
};
use patchbay_core::portable::{Contents, Entry, Reader};
use patchbay_core::seal::KeyRing;
use patchbay_core::store::{Attach, ListQuery, Lookup, Store as _, StoreError};
use patchbay_sql::{
    DATABASE_FILE, ExportError, ImportError, NativeStore, Options, backup, check, export, import, restore,
};
use tempfile::TempDir;

fn root() -> Caller {
    Caller {
        tenant: Tenant::new("t").unwrap(),
        subject: Subject::new("root").unwrap(),
        email: None,
        admin: true,
    }
}

fn open(folder: &Path) -> NativeStore {
    NativeStore::open(folder, Options::default()).unwrap()
}

/// A connection whose details open with the ring.
fn record(ring: &KeyRing, number: u8) -> Record {
    let line = format!(
        "{{\"kind\":\"connection\",\"tenant\":\"t\",\"id\":\"{}\",\"name\":\"c{number}\",\"type\":\"KAFKA\",\
         \"owner\":\"root\",\"created_at\":1,\"details\":\"{{}}\",\"attachments\":[]}}",
        ConnectionId::from_random([number; 16])
    );
    let mut reader = Reader::default();
    reader.line(&patchbay_core::portable::first_line()).unwrap();
    let Some(Entry::Connection(entry)) = reader.line(line.as_bytes()).unwrap() else {
        panic!("no connection");
    };
    assert!(matches!(entry.contents, Contents::Clear(_)));
    entry.into_record(ring, &FixedHost).unwrap()
}

async fn create(store: &NativeStore, ring: &KeyRing, number: u8) {
    let record = record(ring, number);
    let attach = Attach {
        connection: record.id,
        workspace: WorkspaceId::new(7).unwrap(),
        workspaces: Workspaces::Open,
        id: AttachmentId::from_random([number; 16]),
        now: Timestamp::from_micros(2),
    };
    store.create(&root(), record).await.unwrap();
    store.attach(&root(), attach).await.unwrap();
}

async fn has(store: &NativeStore, name: &str) -> bool {
    let lookup = Lookup::Name(Name::new(name).unwrap());
    store.get(&root(), lookup).await.unwrap().is_some()
}

#[tokio::test]
async fn the_last_clone_leaves_no_log_behind_and_the_folder_free() {
    let folder = TempDir::new().unwrap();
    let ring = KeyRing::parse(K1).unwrap();
    for number in 0..20 {
        let store = open(folder.path());
        let clone = store.clone();
        create(&store, &ring, number).await;
        assert!(has(&clone, "c0").await);
        drop(store);
        drop(clone);
        assert!(!folder.path().join(format!("{DATABASE_FILE}-wal")).exists());
    }
}

#[tokio::test]
async fn check_finds_each_seeded_damage_and_writes_nothing() {
    let ring = KeyRing::parse(&format!("{K1},{K2}")).unwrap();
    let first_key = KeyRing::parse(K1).unwrap();
    let seeds: [(&str, &str); 13] = [
        (
            "UPDATE connection SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || 'Z' AS BLOB) WHERE name = 'c1'",
            "connection 01010101-0101-4101-8101-010101010101: the sealed details do not belong to this record",
        ),
        (
            "DELETE FROM connection WHERE name = 'c1'",
            "attachment 01010101-0101-4101-8101-010101010101: its connection does not exist",
        ),
        (
            "DELETE FROM workspace WHERE id = 7",
            "a row of the table attachment refers to a row of workspace that does not exist",
        ),
        (
            "UPDATE attachment SET name = 'x' WHERE name = 'c1'",
            "its tenant or name is not that of its connection",
        ),
        (
            "UPDATE connection SET key_id = 'k9' WHERE name = 'c1'",
            "the key `k9` is not in the key ring",
        ),
        (
            "UPDATE connection SET type = '' WHERE name = 'c1'",
            "a stored type is not one",
        ),
        (
            "UPDATE workspace SET name = 'workspace-8'",
            "its name is kept for another id",
        ),
        ("UPDATE workspace SET name = 'team'", "counter has not come to its id"),
        (
            "INSERT INTO member VALUES ('t', 1, 'Ann@x', 7, 1, NULL)",
            "not in lower case",
        ),
        (
            "INSERT INTO member VALUES ('t', 0, 'Ann', 7, 1, 'Ann@x')",
            "not in lower case",
        ),
        ("INSERT INTO counter VALUES ('t', 0)", "a counter of workspaces"),
        (
            "UPDATE workspace SET created_at = -1",
            "workspace 7 of tenant t: it was not made from 1970 to 2255",
        ),
        (
            "UPDATE connection SET created_at = 253402300800000000 WHERE name = 'c1'",
            "connection 01010101-0101-4101-8101-010101010101: it was not made from 1970 to 2255",
        ),
    ];
    for (damage, says) in seeds {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path());
        for number in 1..=3 {
            create(&store, &ring, number).await;
        }
        drop(store);
        let report = check(folder.path(), &ring).unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!((report.connections, report.attachments, report.workspaces), (3, 3, 1));

        let file = folder.path().join(DATABASE_FILE);
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(connection.execute(damage, []).unwrap() > 0);
        drop(connection);
        let before = fs::read(&file).unwrap();
        let report = check(folder.path(), &ring).unwrap();
        assert!(
            report.problems.iter().any(|problem| problem.contains(says)),
            "{damage}: {:?}",
            report.problems
        );
        assert_eq!(fs::read(&file).unwrap(), before);
        // A damage of one thing is not made out to be one of all.
        assert!(report.problems.len() <= 3, "{:?}", report.problems);
    }

    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    create(&store, &first_key, 1).await;
    let report = check(folder.path(), &KeyRing::parse(K2).unwrap()).unwrap();
    assert_eq!(
        (report.problems.len(), report.missing_keys, report.damages()),
        (1, 1, 0)
    );
    assert!(
        report.problems[0].contains("the key `k1` is not in the key ring"),
        "{:?}",
        report.problems
    );
}

#[tokio::test]
async fn a_file_that_lacks_a_table_or_has_something_more_is_not_restored_not_served_and_found_by_check() {
    let ring = KeyRing::parse(K1).unwrap();
    for (change, says) in [
        ("DROP TABLE counter", "the table `counter` is missing"),
        (
            "CREATE TRIGGER spy AFTER INSERT ON connection BEGIN DELETE FROM member; END",
            "the trigger `spy` is none of Patchbay's",
        ),
        ("CREATE VIEW v AS SELECT 1", "the view `v` is none of Patchbay's"),
        (
            "ALTER TABLE member ADD more TEXT",
            "the table `member` is not as Patchbay makes it",
        ),
        (
            "DROP INDEX connection_by_key; CREATE INDEX connection_by_key ON connection (type)",
            "the index `connection_by_key` is not as Patchbay makes it",
        ),
    ] {
        let (folder, fresh) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let store = open(folder.path());
        create(&store, &ring, 1).await;
        drop(store);
        let file = folder.path().join(DATABASE_FILE);
        rusqlite::Connection::open(&file)
            .unwrap()
            .execute_batch(change)
            .unwrap();

        let error = check(folder.path(), &ring).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let error = NativeStore::open(folder.path(), Options::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(says), "{error}");
        let error = restore(fresh.path(), &file, false, Timestamp::from_micros(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
        assert!(!fresh.path().join(DATABASE_FILE).exists());
    }

    // Only says that it is one.
    let (folder, fresh) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = folder.path().join(DATABASE_FILE);
    let claims = "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO meta VALUES ('schema', 1)";
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch(claims)
        .unwrap();
    let error = restore(fresh.path(), &file, false, Timestamp::from_micros(1))
        .unwrap_err()
        .to_string();
    assert!(error.contains("is missing; use another backup"), "{error}");
    assert!(NativeStore::open(folder.path(), Options::default()).is_err());
}

#[tokio::test]
async fn the_server_adds_nothing_to_another_programs_database_and_statistics_do_no_harm() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(DATABASE_FILE);
    let objects = |connection: &rusqlite::Connection| -> i64 {
        connection
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
            .unwrap()
    };
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute_batch("CREATE TABLE theirs (a)").unwrap();
    let error = NativeStore::open(folder.path(), Options::default())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("the table `theirs` is none of Patchbay's"), "{error}");
    assert_eq!(objects(&connection), 1);

    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let before = objects(&connection);
    connection.execute_batch("ANALYZE").unwrap();
    assert!(objects(&connection) > before);
    drop(connection);
    drop(open(folder.path()));
    assert!(check(folder.path(), &KeyRing::parse(K1).unwrap()).unwrap().is_clean());
}

#[tokio::test]
async fn a_report_names_some_problems_and_counts_the_rest() {
    let folder = TempDir::new().unwrap();
    let ring = KeyRing::parse(K1).unwrap();
    let store = open(folder.path());
    for number in 1..=120 {
        create(&store, &ring, number).await;
    }
    let report = check(folder.path(), &KeyRing::parse(K2).unwrap()).unwrap();
    assert_eq!((report.problems.len(), report.more), (100, 20));
    assert_eq!((report.missing_keys, report.damages()), (120, 0));
}

#[tokio::test]
async fn a_restore_cut_short_anywhere_is_completed_at_the_next_start_and_the_old_is_kept_whole() {
    let ring = KeyRing::parse(K1).unwrap();
    let source = TempDir::new().unwrap();
    let store = open(source.path());
    create(&store, &ring, 1).await;
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("backup");
    backup(source.path(), &file).unwrap();
    create(&store, &ring, 2).await;
    let wal = format!("{DATABASE_FILE}-wal");
    // The steps after the incoming file has its name: the log is moved, the database is moved.
    for moved in 0..=2 {
        let folder = TempDir::new().unwrap();
        let kept = folder.path().join("replaced-then");
        fs::create_dir(&kept).unwrap();
        for (number, name) in [wal.as_str(), DATABASE_FILE].into_iter().enumerate() {
            let to = if number < moved { &kept } else { folder.path() };
            fs::copy(source.path().join(name), to.join(name)).unwrap();
        }
        fs::copy(&file, folder.path().join("patchbay.db.restoring-then")).unwrap();
        let error = check(folder.path(), &ring).unwrap_err().to_string();
        assert!(error.contains("start the server"), "{error}");

        let restored = open(folder.path());
        assert!(
            has(&restored, "c1").await && !has(&restored, "c2").await,
            "{moved} moved"
        );
        create(&restored, &ring, 3).await;
        drop(restored);
        let old = open(&kept);
        assert!(has(&old, "c1").await && has(&old, "c2").await, "{moved} moved");
        let restored = open(folder.path());
        assert!(has(&restored, "c3").await && !has(&restored, "c2").await);
    }
}

#[tokio::test]
async fn an_export_of_damaged_details_in_the_clear_names_the_connection_and_has_no_last_line() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    create(&store, &KeyRing::parse(K1).unwrap(), 1).await;
    let mut lines = Vec::new();
    let error = export(folder.path(), Some(&KeyRing::parse(K2).unwrap()), &mut lines).unwrap_err();
    assert!(error.to_string().contains("connection 01010101-"), "{error}");
    assert!(!String::from_utf8(lines).unwrap().contains("\"end\""));
}

/// Takes and gives nothing.
struct Broken;

impl io::Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[test]
fn an_error_that_says_its_cause_does_not_have_it_said_again_by_whoever_prints_the_chain() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()));
    let error = export(folder.path(), None, &mut Broken).unwrap_err();
    assert!(
        error.to_string().contains("broken pipe") && error.source().is_none(),
        "{error}"
    );
    let ring = KeyRing::parse(K1).unwrap();
    let error = import(folder.path(), &ring, &FixedHost, io::BufReader::new(Broken)).unwrap_err();
    assert!(
        error.to_string().contains("broken pipe") && error.source().is_none(),
        "{error}"
    );
    let busy = || StoreError::Unavailable("full".into());
    assert!(ExportError::from(busy()).source().is_none() && ImportError::from(busy()).source().is_none());
}

/// Bytes that the log may have at any moment: its bound of 16 MiB, and one commit more.
const WAL_STATED: u64 = 17 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_stays_bounded_while_somebody_always_reads() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let sealed = |number: u8| Record {
        id: ConnectionId::from_random([number; 16]),
        name: Name::new(&format!("c{number}")).unwrap(),
        connection_type: ConnectionType::new("KAFKA").unwrap(),
        owner: root().subject,
        created_at: Timestamp::from_micros(1),
        sealed: Sealed {
            key_id: KeyId::new("k1").unwrap(),
            bytes: vec![number; 256 * 1024],
        },
    };
    store.create(&root(), sealed(0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let query = ListQuery {
                        workspace: None,
                        workspaces: Workspaces::Open,
                        after: None,
                        limit: Some(40),
                        details: true,
                        most_bytes: usize::MAX,
                    };
                    store.list(&root(), query).await.unwrap();
                }
            })
        })
        .collect();
    let (wal, mut most) = (folder.path().join(format!("{DATABASE_FILE}-wal")), 0);
    for number in 1..=200 {
        store.create(&root(), sealed(number)).await.unwrap();
        most = most.max(fs::metadata(&wal).unwrap().len());
        assert!(most <= WAL_STATED, "{most} bytes after {number} commits");
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}
