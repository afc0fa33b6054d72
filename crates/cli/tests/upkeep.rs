//! Backup, restore, check, export and import by the real binary.

#![cfg(feature = "native")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use common::{Server, done, patchbay, refused, upkeep};

/// Details whose bytes are easily lost on the way, and the names of their connections.
const ODD: [(&str, &str); 5] = [
    (
        "Größe \\\"#/%\\\" 名",
        "{ \"b\" : 1.0,\r\n\t\"a\":1e400, \"b\":12345678901234567890.10 }",
    ),
    ("surrogates", "\"\\ud800 \\u0041\\udfff\""),
    ("string", "\"secret \\\\ \\\" \\n 名\""),
    ("null", "null"),
    ("empty", "{}"),
];

/// Fills a folder over HTTP: the odd connections, each attached twice, a workspace with a member and one with two.
fn fill(data: &Path) {
    let server = Server::start(data);
    for (name, details) in ODD {
        let body = format!("{{\"name\":\"{name}\",\"type\":\"KAFKA\",\"details\":{details}}}");
        let (status, created) = server.call("connections/create", &body);
        assert_eq!(status, 200, "{created}");
        for workspace in [7, 9] {
            let pair = format!(
                "{{\"workspace_id\":{workspace},\"connection_id\":\"{}\"}}",
                &created[7..43]
            );
            assert_eq!(server.call("connections/add_to_workspace", &pair).0, 200);
        }
    }
    assert_eq!(server.call("workspaces/create", "{\"workspace_name\":\"team\"}").0, 200);
    for person in [
        "\"user_id\":\"bob\",\"email\":\"bob@example.com\"",
        "\"email\":\"eve@example.com\",\"user_type\":\"OWNER\"",
    ] {
        let body = format!("{{\"workspace_id\":7,{person}}}");
        assert_eq!(server.call("workspaces/add_user", &body).0, 200);
    }
    assert_eq!(server.stop().0, Some(0));
}

fn everything(data: &Path) -> String {
    let server = Server::start(data);
    let listed = server.call("connections/list", "{}").1;
    let rooms = server.call("workspaces/list", "{}").1;
    server.stop();
    format!("{listed}\n{rooms}")
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_backup_under_constant_writes_holds_whole_what_was_acknowledged_before_it_began() {
    let folder = TempDir::new().unwrap();
    let (data, file, elsewhere) = (
        folder.path().join("data"),
        folder.path().join("backup"),
        folder.path().join("elsewhere"),
    );
    let mut command = patchbay(&data);
    command.args(["--log", "error"]);
    let server = Server::spawn(command);
    let (acknowledged, enough) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let before = std::thread::scope(|scope| {
        for writer in 0..4 {
            let (server, acknowledged, enough) = (&server, &acknowledged, &enough);
            scope.spawn(move || {
                for number in 0.. {
                    if enough.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("c-{writer}-{number}");
                    let body = format!("{{\"name\":\"{name}\",\"type\":\"T\",\"details\":\"of {name}\"}}");
                    assert_eq!(server.call("connections/create", &body).0, 200);
                    acknowledged.lock().unwrap().push(name);
                }
            });
        }
        let count = || acknowledged.lock().unwrap().len();
        while count() < 200 {
            std::thread::yield_now();
        }
        let before = acknowledged.lock().unwrap().clone();
        let said = done(upkeep(&data, &["backup", text(&file)]));
        assert!(said.contains("keys are not in it"), "{said}");
        // The writers went on all the while.
        while count() < before.len() + 8 {
            std::thread::yield_now();
        }
        enough.store(true, Ordering::Relaxed);
        before
    });
    server.stop();
    assert_eq!(mode(&file), 0o600);
    assert!(refused(upkeep(&data, &["backup", text(&file)])).contains("exists"));

    done(upkeep(&elsewhere, &["restore", text(&file)]));
    fs::copy(data.join("keys"), elsewhere.join("keys")).unwrap();
    assert!(done(upkeep(&elsewhere, &["check"])).contains("Nothing is wrong"));
    let listed = everything(&elsewhere);
    for name in &before {
        assert!(listed.contains(&format!("\"name\":\"{name}\"")), "{name}");
    }
    let rows: Vec<_> = listed.split("\"name\":\"c-").skip(1).collect();
    assert!(rows.len() >= before.len());
    for row in rows {
        let name = row.split('"').next().unwrap();
        assert!(row.contains(&format!("\"details\":\"of c-{name}\"")), "{row}");
    }
}

#[test]
fn without_a_database_each_command_says_what_to_do_and_makes_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("none");
    for arguments in [
        &["backup", "x"][..],
        &["check"],
        &["export"],
        &["export", "--details-in-the-clear"],
    ] {
        let error = refused(upkeep(&data, arguments));
        assert!(error.contains("--data"), "{arguments:?}: {error}");
    }
    assert!(refused(upkeep(&data, &["restore", "/nowhere"])).contains("/nowhere"));
    assert!(refused(upkeep(&data, &["import", "/nowhere"])).contains("/nowhere"));
    assert!(!data.exists());
}

#[test]
fn restore_refuses_what_is_no_backup_and_a_folder_with_a_database_or_a_server() {
    let folder = TempDir::new().unwrap();
    let (data, file, other) = (
        folder.path().join("data"),
        folder.path().join("backup"),
        folder.path().join("other"),
    );
    fill(&data);
    done(upkeep(&data, &["backup", text(&file)]));
    assert!(refused(upkeep(&data, &["restore", text(&file)])).contains("--replace"));

    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    for (name, bytes) in [("garbage", vec![b'x'; 8192]), ("empty", vec![]), ("cut", damaged)] {
        let unfit = folder.path().join(name);
        fs::write(&unfit, bytes).unwrap();
        let error = refused(upkeep(&other, &["restore", text(&unfit)]));
        assert!(error.contains("cannot be restored"), "{name}: {error}");
    }
    let names = |folder: &Path| -> Vec<_> { fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect() };
    assert_eq!(names(&other), ["lock"]);

    let server = Server::start(&data);
    let live = data.join("patchbay.db");
    assert_eq!(server.call("connections/delete", "{\"name\":\"x\"}").0, 404);
    assert_eq!(server.call("workspaces/create", "{\"workspace_name\":\"late\"}").0, 200);
    assert!(refused(upkeep(&other, &["restore", text(&live)])).contains("patchbay backup"));
    let error = refused(upkeep(&data, &["restore", text(&file), "--replace"]));
    assert!(error.contains("another Patchbay is running"), "{error}");
    let error = refused(upkeep(&data, &["import", text(&file)]));
    assert!(error.contains("another Patchbay is running"), "{error}");
    server.stop();
}

#[test]
fn restore_with_replace_keeps_what_was_there_as_a_data_folder_of_its_own() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("backup"));
    fill(&data);
    let at_backup = everything(&data);
    done(upkeep(&data, &["backup", text(&file)]));
    let mut server = Server::start(&data);
    assert_eq!(server.call("workspaces/create", "{\"workspace_name\":\"late\"}").0, 200);
    // Killed, so that the last change is in the write-ahead log alone.
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert!(fs::metadata(data.join("patchbay.db-wal")).unwrap().len() > 0);

    let said = done(upkeep(&data, &["restore", text(&file), "--replace"]));
    let kept = said
        .lines()
        .find_map(|line| line.strip_prefix("What was there is kept in "))
        .unwrap();
    let kept = Path::new(kept.trim_end_matches('.'));
    assert_eq!(everything(&data), at_backup);
    fs::copy(data.join("keys"), kept.join("keys")).unwrap();
    assert!(done(upkeep(kept, &["check"])).contains("Nothing is wrong"));
    let kept = everything(kept);
    assert!(kept.contains("\"late\"") && !at_backup.contains("\"late\""), "{kept}");
}

#[test]
fn an_export_imported_elsewhere_gives_the_same_export_sealed_and_in_the_clear() {
    let folder = TempDir::new().unwrap();
    let [data, sealed, clear] = ["data", "sealed", "clear"].map(|name| folder.path().join(name));
    fill(&data);
    let all = everything(&data);
    for (_, details) in ODD {
        assert!(all.contains(&format!("\"details\":{details},")), "{details}");
    }

    // Beside the running server.
    let server = Server::start(&data);
    let file = folder.path().join("export");
    let said = done(upkeep(&data, &["export", "--output", text(&file)]));
    assert!(said.contains("5 connections, 3 workspaces"), "{said}");
    assert_eq!(mode(&file), 0o600);
    assert!(refused(upkeep(&data, &["export", "--output", text(&file)])).contains("exists"));
    let lines = done(upkeep(&data, &["export", "--details-in-the-clear"]));
    server.stop();
    let beside = "\"user_id\":\"bob\",\"email\":\"bob@example.com\",\"role\":\"COLLABORATOR\"";
    assert!(lines.contains(beside), "{lines}");
    assert!(lines.contains("secret") && !fs::read_to_string(&file).unwrap().contains("secret"));

    fs::create_dir(&sealed).unwrap();
    fs::copy(data.join("keys"), sealed.join("keys")).unwrap();
    done(upkeep(&sealed, &["import", text(&file)]));
    assert_eq!(done(upkeep(&sealed, &["export"])), fs::read_to_string(&file).unwrap());
    assert_eq!(everything(&sealed), all);

    let in_the_clear = folder.path().join("lines");
    fs::write(&in_the_clear, &lines).unwrap();
    let mut import = upkeep(&clear, &["import"]);
    import.stdin(fs::File::open(&in_the_clear).unwrap());
    done(import);
    assert_eq!(done(upkeep(&clear, &["export", "--details-in-the-clear"])), lines);
    assert_eq!(everything(&clear), all);
    for folder in [&sealed, &clear] {
        assert!(done(upkeep(folder, &["check"])).contains("Nothing is wrong"));
    }
    // Other keys than those that sealed it.
    let other = folder.path().join("other");
    let error = refused(upkeep(&other, &["import", text(&file)]));
    assert!(error.contains("`sealed`") && error.contains("line "), "{error}");
}

#[test]
fn an_import_that_is_refused_names_the_line_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (data, target) = (folder.path().join("data"), folder.path().join("target"));
    fill(&data);
    let export = done(upkeep(&data, &["export", "--details-in-the-clear"]));
    let file = folder.path().join("file");
    fs::write(&file, &export).unwrap();
    done(upkeep(&target, &["import", text(&file)]));
    let before = done(upkeep(&target, &["export"]));
    // The same in another tenant with other ids clashes with nothing.
    let other = export
        .replace("\"tenant\":\"default\"", "\"tenant\":\"other\"")
        .replace("-4", "-5");
    for (lines, says) in [
        (export.clone(), "line 3: `id` is taken by another workspace"),
        (
            export.replace("\"tenant\":\"default\"", "\"tenant\":\"other\""),
            "line 6: `id` is taken by another connection",
        ),
        (
            other.replace("\"workspace_id\":9", "\"workspace_id\":10"),
            "line 6: `attachments`",
        ),
        (
            other.replace("\"version\":2", "\"version\":3"),
            "line 1: the export has version 3",
        ),
        (other.replace("\"kind\":\"end\"", "\"kind\":\"fin\""), "line 11: "),
        (other.trim_end().rsplit_once('\n').unwrap().0.to_owned(), "cut off"),
        (
            other.replace("\"last\":", "\"first\":1,\"last\":"),
            "line 2: `first` is not a known field",
        ),
        (
            other.replacen("\"name\":\"team\"", "\"name\":\"workspace-8\"", 1),
            "line 3: `name`",
        ),
        (
            other.replace("\"details\":\"{}\"", "\"details\":\"{secret\""),
            "line 7: `details`",
        ),
        (other.replace("secret", "secret\u{1}"), "is not valid JSON"),
    ] {
        assert_ne!(lines, other);
        fs::write(&file, &lines).unwrap();
        let error = refused(upkeep(&target, &["import", text(&file)]));
        assert!(error.contains(says), "{says}: {error}");
        assert!(!error.contains(".;"), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(done(upkeep(&target, &["export"])), before, "{says}");
    }
    fs::write(&file, &other).unwrap();
    done(upkeep(&target, &["import", text(&file)]));
    assert!(done(upkeep(&target, &["check"])).contains("10 connections, 20 attachments, 6 workspaces, 6 members."));
}

#[test]
fn neither_backup_nor_export_writes_into_the_data_folder() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fill(&data);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    for place in [&data, &link, &link.join("../data")] {
        let file = place.join("keys.old");
        for arguments in [&["backup", text(&file)][..], &["export", "--output", text(&file)]] {
            let error = refused(upkeep(&data, arguments));
            assert!(error.contains("is in the data folder"), "{arguments:?}: {error}");
        }
    }
    assert!(!data.join("keys.old").exists());
}

#[test]
fn check_advises_a_backup_against_damage_and_the_key_where_a_key_is_missing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fill(&data);
    let check = |keys: Option<&str>| {
        let mut check = upkeep(&data, &["check"]);
        if let Some(keys) = keys {
            check.env("PATCHBAY_KEYS", keys);
        }
        let output = check.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let said = check(Some("k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"));
    assert!(said.contains("PATCHBAY_KEYS") && !said.contains("restore"), "{said}");
    // Another key under the same id opens nothing: to the ring that is damage.
    let said = check(Some("k1:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"));
    assert!(
        said.contains("restore FILE --replace") && !said.contains("PATCHBAY_KEYS"),
        "{said}"
    );
}
