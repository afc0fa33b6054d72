//! The audit trail: what is in it, what is found out, and what happens where it cannot be written.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use patchbay_core::audit::{Kind, Outcome, Query, Record};
use patchbay_core::model::{Caller, ConnectionId, Role, Timestamp};
use patchbay_core::store::{CreateOutcome, Store as _, StoreError};
use patchbay_sql::audit::{Verified, verify};
use patchbay_sql::{Audit, DATABASE_FILE, NativeStore, OpenError, Options, RestoreError, backup, restore};
use patchbay_testkit::sample::{add_member, caller, make_workspace, name, person, record};
use serde_json::Value;
use tempfile::TempDir;

thread_local! {
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn notes() -> Vec<String> {
    NOTES.take()
}

/// Bytes of a file that four lines or so fill.
const SMALL: u64 = 1500;

fn open(data: &Path, file_bytes: u64) -> NativeStore {
    let audit = Audit {
        file_bytes,
        warn: |note| NOTES.with_borrow_mut(|notes| notes.push(note.to_owned())),
    };
    let options = Options {
        audit: Some(audit),
        ..Options::default()
    };
    NativeStore::open(data, options).unwrap()
}

fn ann() -> Caller {
    caller("t", "ann", true)
}

fn draft(kind: Kind, request_id: &str) -> Record {
    let at = Timestamp::from_micros(1_684_255_385_170_914);
    Record {
        tenant: Some(ann().tenant),
        request_id: Some(request_id.to_owned()),
        ..Record::new(at, ann().subject, kind, "an/operation")
    }
}

async fn create(store: &NativeStore, number: u128) -> Result<CreateOutcome, StoreError> {
    let noting = store.noting(&draft(Kind::Change, &format!("create-{number}"))).unwrap();
    let one = record(number, &format!("c{number}"), &ann(), 10);
    noting.create(&ann(), one).await
}

async fn read(store: &NativeStore, number: usize) -> Result<(), StoreError> {
    let kept = store.note(draft(Kind::DetailsRead, &format!("read-{number}"))).await;
    kept.map(|back| assert_eq!(back, None))
}

/// A folder with changes and reads by turns, its server stopped.
async fn written(turns: u128, file_bytes: u64) -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), file_bytes);
    for turn in 1..=turns {
        assert_eq!(create(&store, turn).await.unwrap(), CreateOutcome::Created);
        read(&store, usize::try_from(turn).unwrap()).await.unwrap();
    }
    folder
}

fn file(data: &Path, number: u32) -> PathBuf {
    data.join(format!("audit/{number:06}.jsonl"))
}

fn files(data: &Path) -> u32 {
    let count = fs::read_dir(data.join("audit")).unwrap().count();
    u32::try_from(count).unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The request ids in the trail, in order.
fn requests(data: &Path) -> Vec<String> {
    let all = (1..=files(data)).flat_map(|number| lines(&file(data, number)));
    let id = |line: String| -> String {
        let line: Value = serde_json::from_str(&line).unwrap();
        line["record"]["request_id"].as_str().unwrap().to_owned()
    };
    all.map(id).collect()
}

fn found(data: &Path) -> Verified {
    verify(data, None).unwrap()
}

/// Nothing is wrong, and the database knows all of it.
fn assert_clean(data: &Path) {
    let found = found(data);
    assert_eq!(found.problems, []);
    assert_eq!((found.last, found.known), (found.lines, found.lines));
}

#[track_caller]
fn assert_found(data: &Path, expected: &[(u32, Option<u64>, &str)]) {
    let found: Vec<_> = found(data)
        .problems
        .into_iter()
        .map(|problem| (problem.file, problem.line, problem.what))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(number, line, what)| (file(data, *number), *line, (*what).to_owned()))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_change_of_members_leaves_one_line_though_it_found_nobody_to_remove() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), u64::MAX);
    let team = make_workspace(&store, &ann(), "team").await;
    let bob = || person(&caller("t", "bob", false));
    let noting = |request| store.noting(&draft(Kind::Change, request)).unwrap();
    let joins = add_member(team, bob(), Role::Owner);
    noting("added").add_member(&ann(), joins).await.unwrap();
    for request in ["removed", "removed again"] {
        noting(request).remove_member(&ann(), team, bob()).await.unwrap();
        assert_eq!(store.note(draft(Kind::Change, request)).await.unwrap(), None);
    }
    assert_eq!(requests(folder.path()), ["added", "removed", "removed again"]);
    drop(store);
    assert_clean(folder.path());
}

#[tokio::test]
async fn changes_and_reads_are_in_the_trail_when_they_are_acknowledged_and_over_restarts() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    for start in 0..3_u128 {
        let store = open(data, SMALL);
        create(&store, 2 * start).await.unwrap();
        let number = usize::try_from(start).unwrap();
        read(&store, number).await.unwrap();
        assert_eq!(requests(data).last().unwrap(), &format!("read-{number}"));
        create(&store, 2 * start + 1).await.unwrap();
        assert_eq!(requests(data).last().unwrap(), &format!("create-{}", 2 * start + 1));
        assert_eq!(found(data).problems, [], "while the server runs");
        drop(store);
        assert_clean(data);
    }
    let expected = [
        "create-0", "read-0", "create-1", "create-2", "read-1", "create-3", "create-4", "read-2", "create-5",
    ];
    assert_eq!(requests(data), expected);
    assert!(files(data) > 1);
    assert_eq!(notes(), Vec::<String>::new());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file(data, 1)).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_change_that_is_not_made_leaves_its_record_to_the_caller() {
    let folder = written(1, SMALL).await;
    let data = folder.path();
    let store = open(data, SMALL);
    assert_eq!(create(&store, 1).await.unwrap(), CreateOutcome::NameTaken);
    assert_eq!(requests(data), ["create-1", "read-1"]);
    // One that was made is kept already.
    assert_eq!(store.note(draft(Kind::Change, "made")).await.unwrap(), None);
    assert_eq!(requests(data).len(), 2);
    let refused = Record {
        outcome: Outcome::Refused(http::StatusCode::CONFLICT),
        ..draft(Kind::Change, "refused")
    };
    store.note(refused).await.unwrap();
    assert_eq!(requests(data), ["create-1", "read-1", "refused"]);
}

#[tokio::test]
async fn many_at_once_are_all_in_the_trail() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let store = open(data, 16 * 1024);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let store = store.clone();
        tasks.spawn(async move {
            create(&store, number).await.unwrap();
            read(&store, usize::try_from(number).unwrap()).await.unwrap();
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    drop(store);
    assert_clean(data);
    let mut found = requests(data);
    found.sort_unstable();
    let mut expected: Vec<String> = (0..100)
        .flat_map(|number| [format!("create-{number}"), format!("read-{number}")])
        .collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn any_byte_that_is_changed_is_found() {
    let folder = written(2, 800).await;
    let data = folder.path();
    assert_eq!(files(data), 2);
    assert_clean(data);
    for number in 1..=2 {
        let path = file(data, number);
        let good = fs::read(&path).unwrap();
        let mut line = 1;
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= fastrand::u8(1..);
            fs::write(&path, &changed).unwrap();
            let problems = found(data).problems;
            assert!(!problems.is_empty(), "byte {at} of file {number}");
            assert_eq!(problems[0].file, path, "byte {at}");
            assert!(problems[0].line == Some(line), "byte {at}: {}", problems[0]);
            line += u64::from(good[at] == b'\n');
        }
        fs::write(&path, &good).unwrap();
    }
    assert_clean(data);
}

#[tokio::test]
async fn lines_and_files_that_are_removed_repeated_or_put_elsewhere_are_found_where_they_are() {
    let folder = written(9, SMALL).await;
    let data = folder.path();
    let path = file(data, 2);
    let good = lines(&path);
    let before = lines(&file(data, 1)).len() as u64;
    let (count, last) = (good.len(), found(data).last);
    assert!(count >= 3 && files(data) >= 4);
    let write = |lines: &[String]| fs::write(&path, lines.concat()).unwrap();

    let mut removed = good.clone();
    removed.remove(1);
    write(&removed);
    let missing = format!("numbers {0} to {0} are missing before it", before + 2);
    assert_found(data, &[(2, Some(2), &missing)]);

    let mut repeated = good.clone();
    repeated.insert(1, good[0].clone());
    write(&repeated);
    let again = format!("it has number {}, where {} should stand", before + 1, before + 2);
    assert_found(data, &[(2, Some(2), &again)]);

    let mut swapped = good.clone();
    swapped.swap(0, 1);
    write(&swapped);
    let problems = found(data).problems;
    assert_eq!((problems[0].file.clone(), problems[0].line), (path.clone(), Some(1)));
    assert_eq!((problems[1].file.clone(), problems[1].line), (path.clone(), Some(2)));

    write(&good[..count - 1]);
    let missing = format!("numbers {0} to {0} are missing before it", before + count as u64);
    assert_found(data, &[(3, Some(1), &missing)]);

    fs::remove_file(&path).unwrap();
    let problems = found(data).problems;
    assert_eq!((problems[0].file.clone(), problems[0].line), (path.clone(), None));
    assert_eq!(problems[0].what, "is missing");
    write(&good);

    let end = file(data, files(data));
    let (good_end, number) = (lines(&end), files(data));
    fs::write(&end, good_end[..good_end.len() - 1].concat()).unwrap();
    let cut = format!(
        "the trail's end is cut off: it ends with number {}, and the database knows number {last}",
        last - 1
    );
    assert_found(data, &[(number, None, &cut)]);
    fs::write(&end, good_end.concat()).unwrap();

    fs::write(data.join("audit/notes.txt"), "").unwrap();
    assert_eq!(found(data).problems[0].what, "is none of the trail's files");
    fs::remove_file(data.join("audit/notes.txt")).unwrap();
    assert_clean(data);
}

#[tokio::test]
async fn a_line_that_is_replaced_by_a_whole_one_is_found_by_the_next_and_by_the_head() {
    let (folder, other) = (written(2, u64::MAX).await, TempDir::new().unwrap());
    let data = folder.path();
    let store = open(other.path(), u64::MAX);
    for number in 10..14 {
        read(&store, number).await.unwrap();
    }
    drop(store);
    let (path, good, forged) = (file(data, 1), lines(&file(data, 1)), lines(&file(other.path(), 1)));
    // The first line of another trail is whole, and follows what the first line follows: nothing.
    let mut replaced = good.clone();
    replaced[0] = forged[0].clone();
    fs::write(&path, replaced.concat()).unwrap();
    assert_found(
        data,
        &[(1, Some(2), "it does not follow the line before, which was replaced")],
    );
    // And so is the whole of the other trail.
    fs::write(&path, forged.concat()).unwrap();
    assert_found(
        data,
        &[(1, Some(4), "it is not the line that the database knows by this number")],
    );
}

#[tokio::test]
async fn files_that_were_moved_away_are_missing_unless_it_is_said_where_to_begin() {
    let folder = written(9, SMALL).await;
    let data = folder.path();
    fs::remove_file(file(data, 1)).unwrap();
    assert!(!found(data).problems.is_empty());
    let rest = verify(data, Some(2)).unwrap();
    assert_eq!(rest.problems, []);
    assert_eq!(rest.last, 18);
    assert!(!verify(data, Some(1)).unwrap().problems.is_empty());
    drop(open(data, SMALL));
    assert_eq!(notes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_not_written_to_its_end_is_cut_off_at_the_start_and_said() {
    let folder = written(1, SMALL).await;
    let data = folder.path();
    let path = file(data, 1);
    // Of several lines parts may be there.
    for (number, tail) in ["{\"number\":3,\"pre", "\0\0\0\"}\n{\"number\":4", "\0\0\0\"}\n"]
        .iter()
        .enumerate()
    {
        let good = fs::read(&path).unwrap();
        fs::write(&path, [&good, tail.as_bytes()].concat()).unwrap();
        let torn = found(data);
        assert_eq!((torn.problems, torn.torn), (Vec::new(), tail.len() as u64));
        let store = open(data, u64::MAX);
        let said = notes();
        assert!(said.len() == 1 && said[0].contains("cut off"), "{said:?}");
        assert_eq!(fs::read(&path).unwrap(), good);
        read(&store, number).await.unwrap();
        drop(store);
        assert_clean(data);
    }
}

#[tokio::test]
async fn what_is_damaged_before_whole_lines_is_left_to_be_seen_and_so_are_they() {
    let folder = written(3, u64::MAX).await;
    let data = folder.path();
    // As after a restore: the database knows nothing of what was acknowledged since.
    database(data).execute("DELETE FROM audit_head", []).unwrap();
    let (path, mut bytes) = (file(data, 1), fs::read(file(data, 1)).unwrap());
    let third = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(2)
        .map(<[u8]>::len)
        .sum::<usize>();
    bytes[third + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = open(data, u64::MAX);
    assert_eq!(notes(), Vec::<String>::new());
    read(&store, 4).await.unwrap();
    drop(store);
    assert!(fs::read(&path).unwrap().starts_with(&bytes));
    assert_found(data, &[(1, Some(3), "it is not as it was written")]);
}

/// A data folder `data` in which so many were created, and its backup `copy` from after the second: the row of that is in the
/// trail, and still in the backup.
async fn backed_up(created: u128) -> TempDir {
    let folder = TempDir::new().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let store = open(&data, SMALL);
    for number in 1..=created {
        create(&store, number).await.unwrap();
        if number == 2 {
            backup(&data, &copy).unwrap();
        }
    }
    folder
}

#[tokio::test]
async fn over_a_restored_database_whose_files_were_moved_away_the_trail_goes_on_after_its_last_line() {
    let folder = backed_up(11).await;
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    assert!(files(&data) > 2);
    fs::remove_file(file(&data, 1)).unwrap();
    restore(&data, &copy, true, Timestamp::from_micros(0)).unwrap();
    let store = open(&data, SMALL);
    assert_eq!(notes(), Vec::<String>::new());
    create(&store, 12).await.unwrap();
    drop(store);
    assert_eq!(verify(&data, Some(2)).unwrap().problems, []);
}

#[tokio::test]
async fn a_first_line_that_is_missing_is_found_where_the_file_before_is_there() {
    let folder = written(9, SMALL).await;
    let data = folder.path();
    assert_eq!(verify(data, Some(2)).unwrap().problems, []);
    for number in [1, 2] {
        let (path, whole) = (file(data, number), fs::read_to_string(file(data, number)).unwrap());
        fs::write(&path, whole.split_once('\n').unwrap().1).unwrap();
        let problems = verify(data, Some(number)).unwrap().problems;
        assert_eq!((problems[0].file.clone(), problems[0].line), (path.clone(), Some(1)));
        fs::write(&path, whole).unwrap();
    }
}

#[tokio::test]
async fn an_end_that_the_database_knows_is_never_cut_off_and_its_loss_stays_to_be_seen() {
    let folder = written(3, u64::MAX).await;
    let data = folder.path();
    let (path, good) = (file(data, 1), fs::read(file(data, 1)).unwrap());
    let cut = &good[..good.len() - 10];
    fs::write(&path, cut).unwrap();
    let store = open(data, u64::MAX);
    let said = notes();
    assert!(
        said.len() == 1 && said[0].contains("does not come as far as line 6"),
        "{said:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), cut);
    read(&store, 4).await.unwrap();
    drop(store);
    let problems = found(data).problems;
    assert_eq!((problems[0].file.clone(), problems[0].line), (path, Some(6)));
    assert_eq!(problems.len(), 1);
    assert_eq!(lines(&file(data, 2)).len(), 1);
}

fn database(data: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(data.join(DATABASE_FILE)).unwrap()
}

/// Puts a row into the database of a stopped server that the trail lacks.
fn leave_row(data: &Path) {
    let record = draft(Kind::Change, "left").to_json();
    let sql = "INSERT INTO audit (seq, record) SELECT seq + 1, ?1 FROM audit_head";
    database(data).execute(sql, [record]).unwrap();
}

#[tokio::test]
async fn a_row_that_the_trail_lacks_is_appended_although_a_line_behind_the_head_bears_its_number() {
    let (folder, other) = (written(2, u64::MAX).await, written(3, u64::MAX).await);
    let data = folder.path();
    leave_row(data);
    let forged = lines(&file(other.path(), 1)).swap_remove(4);
    assert!(forged.contains(",\"row\":3,"), "{forged}");
    let path = file(data, 1);
    fs::write(&path, fs::read_to_string(&path).unwrap() + &forged).unwrap();
    assert_eq!(found(data).waiting, 1);
    for _ in 0..2 {
        drop(open(data, u64::MAX));
        assert_eq!(requests(data)[4..], ["create-3", "left"]);
    }
}

#[tokio::test]
async fn a_row_that_the_trail_lacks_is_appended_before_another_database_takes_the_place_of_its_own() {
    let folder = backed_up(5).await;
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    leave_row(&data);
    let mut expected = requests(&data);
    expected.push("left".to_owned());
    let again = || restore(&data, &copy, true, Timestamp::from_micros(0));
    // Where the trail cannot be written, the database stays.
    let obstacle = file(&data, files(&data) + 1);
    fs::create_dir(&obstacle).unwrap();
    assert!(matches!(again(), Err(RestoreError::Open(OpenError::Io { .. }))));
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(found(&data).waiting, 1);
    again().unwrap();
    assert_eq!(requests(&data), expected);
    drop(open(&data, SMALL));
    assert_eq!(requests(&data), expected);
    assert_clean(&data);
}

#[tokio::test]
async fn a_database_that_cannot_be_read_makes_way_for_a_backup() {
    let folder = backed_up(2).await;
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    fs::write(data.join(DATABASE_FILE), "no database").unwrap();
    restore(&data, &copy, true, Timestamp::from_micros(0)).unwrap();
    drop(open(&data, SMALL));
    assert_clean(&data);
}

#[tokio::test]
async fn a_row_that_the_trail_lacks_is_appended_at_the_start_and_never_twice() {
    let folder = written(2, SMALL).await;
    let data = folder.path();
    leave_row(data);
    assert_eq!(found(data).waiting, 1);
    let expected = ["create-1", "read-1", "create-2", "read-2", "left"];
    for _ in 0..2 {
        drop(open(data, SMALL));
        assert_eq!(requests(data), expected);
        assert_clean(data);
    }
    let rows: i64 = database(data)
        .query_row("SELECT count(*) FROM audit", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn over_a_database_that_was_restored_the_trail_goes_on_and_no_row_is_taken_for_another() {
    let folder = backed_up(5).await;
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    restore(&data, &copy, true, Timestamp::from_micros(0)).unwrap();
    assert_eq!(found(&data).problems, []);
    let store = open(&data, SMALL);
    assert_eq!(notes(), Vec::<String>::new());
    create(&store, 6).await.unwrap();
    drop(store);
    assert_clean(&data);
    let expected: Vec<String> = (1..7).map(|number| format!("create-{number}")).collect();
    assert_eq!(requests(&data), expected);
}

/// A folder after so many turns, opened so that the trail's next file is due, and what is in that file's place, so that it
/// cannot be made.
async fn blocked(turns: u128) -> (TempDir, NativeStore, PathBuf) {
    let folder = written(turns, SMALL).await;
    let store = open(folder.path(), 1);
    let obstacle = file(folder.path(), 2);
    fs::create_dir(&obstacle).unwrap();
    (folder, store, obstacle)
}

#[tokio::test]
async fn while_the_trail_cannot_be_written_nothing_more_is_done_and_what_was_committed_follows() {
    let (folder, store, obstacle) = blocked(2).await;
    let data = folder.path();
    let unavailable = |outcome: Result<_, StoreError>| matches!(outcome, Err(StoreError::Unavailable(_)));
    // Nothing is known of it yet, so this is tried, and stands although it is not acknowledged.
    assert!(unavailable(create(&store, 10).await.map(|_| ())));
    // This is not even tried.
    assert!(unavailable(create(&store, 11).await.map(|_| ())));
    assert!(unavailable(read(&store, 11).await));
    let names = store
        .get(&ann(), patchbay_core::store::Lookup::Id(id(10)))
        .await
        .unwrap();
    assert_eq!(names.unwrap().record.name, name("c10"));
    assert!(
        store
            .get(&ann(), patchbay_core::store::Lookup::Id(id(11)))
            .await
            .unwrap()
            .is_none()
    );

    // Whether by itself, or by whoever asks first.
    fs::remove_dir(&obstacle).unwrap();
    create(&store, 12).await.unwrap();
    drop(store);
    assert_clean(data);
    let expected = ["create-1", "read-1", "create-2", "read-2", "create-10", "create-12"];
    assert_eq!(requests(data), expected);
}

#[tokio::test]
async fn a_change_is_not_made_where_a_read_could_not_be_kept_a_moment_ago() {
    let (folder, store, obstacle) = blocked(1).await;
    let data = folder.path();
    assert!(read(&store, 10).await.is_err());
    for _ in 0..2 {
        assert!(create(&store, 10).await.is_err());
    }
    fs::remove_dir(&obstacle).unwrap();
    let made = create(&store, 10).await;
    assert!(matches!(made, Ok(CreateOutcome::Created)), "{made:?}");
    drop(store);
    assert_clean(data);
    assert_eq!(requests(data), ["create-1", "read-1", "create-10"]);
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_when_the_server_stops_has_its_rows_after_the_next_start() {
    let (folder, store, obstacle) = blocked(1).await;
    let data = folder.path();
    assert!(create(&store, 10).await.is_err());
    drop(store);
    fs::remove_dir(&obstacle).unwrap();
    drop(open(data, SMALL));
    assert_clean(data);
    assert_eq!(requests(data), ["create-1", "read-1", "create-10"]);
}

#[tokio::test]
async fn once_the_trails_thread_has_panicked_nothing_more_is_done() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in the trail's thread, as it answers");
        }
    }
    let folder = written(1, SMALL).await;
    let data = folder.path();
    let store = open(data, SMALL);
    let waker = Waker::from(Arc::new(Panics));
    let mut context = Context::from_waker(&waker);
    let mut asked = Box::pin(read(&store, 10));
    // Where it is answered at once, nobody is woken.
    while asked.as_mut().poll(&mut context).is_ready() {
        asked = Box::pin(read(&store, 10));
    }
    // What waits as the thread ends, and what comes when it has.
    for number in 11..13 {
        assert!(matches!(read(&store, number).await, Err(StoreError::Unavailable(_))));
    }
    assert!(matches!(create(&store, 13).await, Err(StoreError::Unavailable(_))));
    let made = store.get(&ann(), patchbay_core::store::Lookup::Id(id(13))).await;
    assert_eq!(made.unwrap(), None);
    drop(asked);
    drop(store);
    drop(open(data, SMALL));
    assert_clean(data);
    assert_eq!(requests(data)[2], "read-10");
}

fn everything() -> Query {
    Query {
        tenant: ann().tenant,
        connection: None,
        subject: None,
        since: None,
        until: None,
        before: None,
        limit: 1000,
        most_bytes: usize::MAX,
    }
}

/// Request ids page by page, until there are no more.
async fn pages(store: &NativeStore, mut query: Query) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let page = store.records(query.clone()).await.unwrap().unwrap();
        let id = |record: &String| -> String {
            let record: Value = serde_json::from_str(record).unwrap();
            record["request_id"].as_str().unwrap().to_owned()
        };
        pages.push(page.records.iter().map(id).collect());
        match page.before {
            Some(before) => query.before = Some(before),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn the_trail_is_listed_newest_first_over_its_files_in_pages_of_any_size() {
    let folder = written(9, SMALL).await;
    let data = folder.path();
    let store = open(data, SMALL);
    let mut expected = requests(data);
    expected.reverse();
    assert_eq!(pages(&store, everything()).await, std::slice::from_ref(&expected));
    for limit in 1..=19 {
        let query = Query { limit, ..everything() };
        let pages = pages(&store, query).await;
        assert!(pages.iter().all(|page| page.len() <= usize::from(limit)), "{pages:?}");
        assert_eq!(pages.len(), expected.len().div_ceil(usize::from(limit)));
        assert_eq!(pages.concat(), expected);
    }
    // At least one, however little an answer may hold.
    let query = Query {
        most_bytes: 0,
        ..everything()
    };
    let single = pages(&store, query).await;
    assert!(single.iter().all(|page| page.len() == 1));
    assert_eq!(single.concat(), expected);

    // Files that were moved away are no hindrance, and a line that was edited is not shown.
    let kept: usize = (2..=files(data)).map(|number| lines(&file(data, number)).len()).sum();
    fs::remove_file(file(data, 1)).unwrap();
    let good = fs::read_to_string(file(data, 2)).unwrap();
    fs::write(file(data, 2), good.replacen("an/operation", "no/operation", 1)).unwrap();
    assert_eq!(pages(&store, everything()).await.concat(), expected[..kept - 1]);
}

#[tokio::test]
async fn a_record_that_is_longer_than_what_is_read_at_once_is_listed_like_any_other() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), u64::MAX);
    read(&store, 1).await.unwrap();
    let mut long = draft(Kind::DetailsRead, "long");
    long.connections = (0..20_000).map(id).collect();
    store.note(long).await.unwrap();
    read(&store, 2).await.unwrap();
    let one = Query {
        connection: Some(id(19_999)),
        ..everything()
    };
    assert_eq!(pages(&store, one).await, [["long"]]);
    assert_eq!(pages(&store, everything()).await, [["read-2", "long", "read-1"]]);
}

/// More than two calls look at.
async fn long(data: &Path) -> NativeStore {
    let store = open(data, u64::MAX);
    let mut long = draft(Kind::DetailsRead, "long");
    long.connections = (0..50_000).map(id).collect();
    for _ in 0..12 {
        store.note(long.clone()).await.unwrap();
    }
    store
}

/// A record so many hours later than others.
fn later(hours: i64, request_id: &str) -> Record {
    let draft = draft(Kind::DetailsRead, request_id);
    let at = Timestamp::from_micros(draft.at.as_micros() + hours * 3_600_000_000);
    Record { at, ..draft }
}

#[tokio::test]
async fn what_was_written_before_the_clock_was_set_back_is_listed_by_its_time() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), u64::MAX);
    for (hours, id) in [(0, "before"), (4, "since"), (0, "set back"), (5, "set right")] {
        store.note(later(hours, id)).await.unwrap();
    }
    let query = Query {
        since: Some(later(4, "").at),
        ..everything()
    };
    assert_eq!(pages(&store, query).await, [["set right", "since"]]);
}

#[tokio::test]
async fn a_list_ends_where_all_that_a_call_looks_at_is_older_than_what_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let store = long(folder.path()).await;
    store.note(later(2, "since")).await.unwrap();
    let query = Query {
        since: Some(later(2, "").at),
        ..everything()
    };
    assert_eq!(pages(&store, query).await, [vec!["since"], vec![]]);
}

#[tokio::test]
async fn a_call_looks_at_a_bounded_part_of_a_long_trail() {
    let folder = TempDir::new().unwrap();
    let store = long(folder.path()).await;
    let of_nobody = Query {
        tenant: caller("u", "ann", true).tenant,
        ..everything()
    };
    let pages = pages(&store, of_nobody).await;
    assert!(pages.len() > 2 && pages.iter().all(Vec::is_empty), "{}", pages.len());
}

fn id(number: u128) -> ConnectionId {
    record(number, "x", &ann(), 1).id
}
