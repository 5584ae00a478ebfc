//! Coming from Open edX's badges app: a dump of Django, taken by the real command.

mod activation;

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::app::TestApp;
use crate::harness::binary::program;
use crate::harness::database::Database;
use crate::harness::events::{Event, Learner, course};
use crate::harness::logs::SECRET_KEY;
use crate::harness::tokens::Token;

const DUMP: &str = include_str!("../fixtures/openedx_badges.json");
const COURSE: &str = "course-v1:edX+course_test+test_run";
const COMPLETION: &str = "course-v1edxcourse_testtest_run_honor_2055051";
/// Tables that an import writes.
const TABLES: [&str; 6] = [
    "badge_class",
    "assertion",
    "award",
    "learner",
    "event_badges_configuration",
    "audit",
];

/// A dump and its media directory, as an operator copies them.
struct Copied {
    directory: tempfile::TempDir,
    file: String,
    media: String,
}

impl Copied {
    fn new(dump: &Value) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let media = directory.path().join("media");
        let images = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/images");
        for path in [
            "badge_classes/honor.png",
            "badge_classes/sample-enrolled_three.png",
            "badge_classes/verified.png",
            "course_complete_badges/honor.png",
            "course_complete_badges/sample-enrolled_three.png",
        ] {
            let to = media.join(path);
            std::fs::create_dir_all(to.parent().expect("a directory")).expect("made");
            std::fs::copy(images.join(to.file_name().expect("a name")), &to).expect("copied");
        }
        let copied = Self {
            file: directory.path().join("dump.json").display().to_string(),
            media: media.display().to_string(),
            directory,
        };
        copied.write(dump);
        copied
    }

    fn write(&self, dump: &Value) {
        std::fs::write(&self.file, dump.to_string()).expect("written");
    }
}

fn dump() -> Value {
    serde_json::from_str(DUMP).expect("JSON")
}

/// A database with all tables.
fn migrated() -> Database {
    let database = Database::of_environment();
    let output = accolade(&database, &["migrate"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    database
}

fn accolade(database: &Database, arguments: &[&str]) -> Output {
    let settings = [("DATABASE_URL", database.url()), ("SECRET_KEY", SECRET_KEY)];
    let mut command = Command::new(program());
    command.env_clear().envs(settings).args(arguments);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Imports; the exit code, (taken, there, not taken) of classes, images, assertions and configurations, and the causes.
fn import(database: &Database, copied: &Copied, more: &[&str]) -> (i32, Vec<[u64; 3]>, Vec<String>) {
    let mut arguments = vec!["import-openedx", &copied.file, "--json"];
    arguments.extend(more);
    let output = accolade(database, &arguments);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no report: {}{}", text(&output.stdout), text(&output.stderr)));
    let number = |model: &Value, name: &str| model[name].as_u64().expect("a number");
    let counts = |model: &Value| ["taken", "was_there", "not_taken"].map(|name| number(model, name));
    let models = report["models"]
        .as_array()
        .expect("models")
        .iter()
        .map(counts)
        .collect();
    let causes = text(&output.stderr).lines().map(str::to_owned).collect();
    (output.status.code().expect("a code"), models, causes)
}

#[tokio::test]
async fn learners_keep_their_badges_and_get_none_twice() {
    let app = TestApp::builder().start();
    let copied = Copied::new(&dump());
    let said = app.cli(&["import-openedx", &copied.file, "--media", &copied.media]);
    assert!(said.contains("is active now"), "{said}");
    let (status, kept) = app
        .get("/api/badges/v1/assertions/user/ada/", Some(&Token::of("ada")))
        .await;
    assert_eq!((status, &kept["count"]), (200, &json!(2)), "{kept}");
    let [newest, oldest] = [0, 1].map(|n| kept["results"][n].clone());
    assert_eq!(newest["badge_class"]["slug"], COMPLETION);
    assert_eq!(newest["created"], "2022-04-01T12:00:00Z");
    assert_eq!(oldest["badge_class"]["slug"], "enrolled_three");
    let url = "https://badgr.example.com/public/assertions/xT5Q2y7mRkW0Zs1o";
    assert_eq!(
        (&oldest["assertion_url"], &oldest["image_url"]),
        (&json!(url), &json!(format!("{url}/image")))
    );

    // Ada has another name by now; both reach what Ada has.
    let mut ada = Learner::new(41);
    ada.username = "ada_l".to_owned();
    let new = Learner::new(50);
    let mut events = Vec::new();
    for learner in [&ada, &new] {
        events.extend((1..=4).map(|number| Event::enrollment_created(learner, &course(number))));
        events.push(Event::certificate_generated(learner, COURSE).with("/mode", json!("honor")));
    }
    app.topics.publish_events(&events);
    let only_the_new_one = ["enrolled_three", COMPLETION].map(|slug| ("50".to_owned(), slug.to_owned()));
    app.expect_announced(&only_the_new_one).await;
    app.quiet(events.len()).await;
    assert_eq!(app.announced().len(), 2, "nothing of what was imported is announced");
    assert_eq!(
        app.database.count("badge_class", "1 = 1"),
        3,
        "the completion badge was found again"
    );
    let (_, kept) = app
        .get("/api/badges/v1/assertions/user/ada_l/", Some(&Token::of("ada_l")))
        .await;
    assert_eq!(kept["count"], 2, "{kept}");
    let explained = app.cli(&["explain", "--user", "ada_l", "--badge", "enrolled_three"]);
    assert!(
        explained.contains("published (imported)") && explained.contains(url),
        "{explained}"
    );
    let data = app.database.lines("SELECT data AS line FROM assertion");
    assert!(!data.concat().contains("@example.com"), "{data:?}");
}

#[test]
fn a_second_run_takes_nothing_and_a_rehearsal_writes_nothing() {
    let database = migrated();
    let copied = Copied::new(&dump());
    let media = ["--media", copied.media.as_str()];
    let before = TABLES.map(|table| database.count(table, "1 = 1"));
    // The image for honor is the one that comes with the service.
    let all = vec![[3, 0, 0], [1, 1, 0], [3, 0, 0], [3, 0, 0]];
    let rehearsed = import(&database, &copied, &[media[0], media[1], "--dry-run"]);
    assert_eq!(rehearsed, (0, all.clone(), vec![]));
    assert_eq!(TABLES.map(|table| database.count(table, "1 = 1")), before);
    assert_eq!(import(&database, &copied, &media), (0, all, vec![]));
    let after = TABLES.map(|table| database.count(table, "1 = 1"));
    assert_eq!(after[..5], [3, 3, 3, 2, 3]);
    // Three classes, an image, and one for the assertions, the history and the activation.
    assert_eq!(after[5], 7);
    let there = vec![[0, 3, 0], [0, 2, 0], [0, 3, 0], [0, 3, 0]];
    assert_eq!(import(&database, &copied, &media), (0, there, vec![]));
    assert_eq!(TABLES.map(|table| database.count(table, "1 = 1")), after);
    assert_eq!(database.count("outbox", "1 = 1"), 0);
    let at_badgr = "backend = 'badgr' AND backend_id = 'TC9GNiKxR6iB8jUiQzB9Bw'";
    assert_eq!(
        database.count("badge_class", at_badgr),
        1,
        "Badgr need not make it again"
    );
    assert_eq!(
        database.count("completion_image", "mode = 'verified' AND is_default"),
        1
    );
    assert_eq!(database.count("event_badges_configuration", "enabled"), 1);
}

#[test]
fn what_can_be_taken_is_taken_and_the_rest_is_told() {
    let database = migrated();
    let mut wrong = dump();
    let rows = wrong.as_array_mut().expect("a list");
    let row = |model: &str, pk: i64, fields: Value| json!({"model": model, "pk": pk, "fields": fields});
    let assertion = |user: Value, class: i64| {
        json!({"user": user, "badge_class": class, "created": "2020-01-01T00:00:00Z", "data": "{}",
            "backend": "BadgrBackend", "image_url": "https://b.example/i", "assertion_url": "https://b.example/a"})
    };
    let class = |slug: &str, image: &str| {
        json!({"slug": slug, "issuing_component": "", "display_name": "n", "description": "d", "criteria": "c",
            "course_id": null, "mode": "", "image": image})
    };
    rows.push(row(
        "badges.badgeclass",
        11,
        class("Ünïcode", "badge_classes/honor.png"),
    ));
    rows.push(row("badges.badgeclass", 12, class("missing", "badge_classes/none.png")));
    rows.push(row("badges.badgeclass", 13, class("outside", "../dump.json")));
    rows.push(row(
        "badges.badgeclass",
        14,
        json!({"slug": "bare", "course_id": "not a key"}),
    ));
    rows.push(row("badges.badgeassertion", 21, assertion(json!(60), 12)));
    rows.push(row("badges.badgeassertion", 22, assertion(json!(61), 12)));
    rows.push(row("badges.badgeassertion", 23, assertion(json!(62), 99)));
    rows.push(row("badges.badgeassertion", 24, assertion(json!(["nobody"]), 1)));
    rows.push(row("badges.badgeassertion", 25, assertion(json!(["ada"]), 2)));
    rows.push(row(
        "badges.coursecompleteimageconfiguration",
        31,
        json!({"mode": "", "icon": "x.png"}),
    ));
    rows.push(row(
        "badges.courseeventbadgesconfiguration",
        41,
        json!({"change_date": "never"}),
    ));
    rows.push(json!(7));
    let copied = Copied::new(&wrong);
    let media = ["--media", copied.media.as_str()];
    let (code, counts, causes) = import(&database, &copied, &media);
    assert_eq!(code, 1);
    assert_eq!(counts, [[3, 0, 4], [1, 1, 1], [4, 0, 4], [3, 0, 1]], "{causes:?}");
    for parts in [
        ["badges.badgeclass 11: slug: ", "lower-case"],
        ["badges.badgeclass 12: image: ", "none.png"],
        ["badges.badgeclass 13: image: ", "leads out"],
        ["badges.badgeclass 14: course_id: ", "course key"],
        ["badges.badgeclass 14: criteria: ", "needed"],
        ["badges.badgeassertion 21, 22: badge_class: ", "12 could not be taken"],
        ["badges.badgeassertion 23: badge_class: ", "99 is not in the file"],
        ["badges.badgeassertion 24: user: ", "natural-foreign"],
        ["badges.coursecompleteimageconfiguration 31: mode: ", "needed"],
        ["badges.courseeventbadgesconfiguration 41: change_date: ", "a time"],
        ["badges.courseeventbadgesconfiguration 3: enabled: ", "not activated"],
        ["row 26: of the file: ", "pk"],
    ] {
        let is_told = causes.iter().any(|cause| parts.iter().all(|part| cause.contains(part)));
        assert!(is_told, "{parts:?}: {causes:#?}");
    }
    assert_eq!(database.count("event_badges_configuration", "enabled"), 0);
    // Mended, it goes on where it was.
    let good = wrong.as_array_mut().expect("a list");
    good.retain(|row| {
        row["pk"]
            .as_i64()
            .is_none_or(|pk| ![11, 13, 14, 23, 24, 31, 41].contains(&pk))
    });
    good.retain(Value::is_object);
    copied.write(&wrong);
    std::fs::copy(
        format!("{}/badge_classes/honor.png", copied.media),
        format!("{}/badge_classes/none.png", copied.media),
    )
    .expect("copied");
    let (code, counts, causes) = import(&database, &copied, &media);
    assert_eq!((code, causes), (0, vec![]));
    assert_eq!(counts, [[1, 3, 0], [0, 2, 0], [2, 4, 0], [0, 3, 0]]);
    assert_eq!(database.count("event_badges_configuration", "enabled"), 1);
}

#[test]
fn without_the_media_an_image_stands_in_until_it_is_there() {
    let database = migrated();
    let copied = Copied::new(&dump());
    let (code, counts, causes) = import(&database, &copied, &[]);
    assert_eq!((code, counts), (1, vec![[3, 0, 0], [0, 0, 2], [3, 0, 0], [3, 0, 0]]));
    assert!(causes.iter().all(|cause| cause.contains("--media")), "{causes:?}");
    let elsewhere = copied.directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    let elsewhere = elsewhere.display().to_string();
    for media in [&[][..], &["--media", &elsewhere]] {
        let (code, counts, causes) = import(&database, &copied, media);
        assert_eq!((code, &counts[0]), (1, &[0, 3, 0]), "{causes:?}");
        let of_classes = causes.iter().filter(|cause| cause.contains("badges.badgeclass"));
        assert!(
            of_classes.clone().count() > 0 && of_classes.clone().all(|cause| cause.contains("stands in")),
            "{media:?}: {causes:?}"
        );
    }
    let (code, counts, causes) = import(&database, &copied, &["--media", &copied.media]);
    assert_eq!((code, causes), (0, vec![]));
    assert_eq!(counts, [[3, 0, 0], [1, 1, 0], [0, 3, 0], [0, 3, 0]], "the images");
    let (_, counts, causes) = import(&database, &copied, &[]);
    assert_eq!(counts[0], [0, 3, 0], "they stay");
    assert!(
        causes.iter().all(|cause| !cause.contains("badges.badgeclass")),
        "{causes:?}"
    );
}

#[test]
fn what_is_no_dump_saves_nothing() {
    let database = migrated();
    let before = TABLES.map(|table| database.count(table, "1 = 1"));
    let copied = Copied::new(&json!([]));
    for (content, said) in [
        ("{\"badge_classes\": []}", "not a list"),
        ("[{\"model\": ", "not JSON at line 1"),
        ("", "not JSON"),
    ] {
        std::fs::write(&copied.file, content).expect("written");
        let output = accolade(&database, &["import-openedx", &copied.file]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(said) && told.contains("nothing was saved"), "{told}");
        assert_eq!(told.lines().count(), 1);
    }
    let missing = copied.directory.path().join("none.json").display().to_string();
    assert_eq!(
        accolade(&database, &["import-openedx", &missing]).status.code(),
        Some(1)
    );
    copied.write(&json!([]));
    let arguments = ["import-openedx", &copied.file, "--media", "/nowhere"];
    assert_eq!(accolade(&database, &arguments).status.code(), Some(1));
    assert_eq!(
        import(&database, &copied, &[]).0,
        0,
        "an empty one has nothing that could fail"
    );
    assert_eq!(TABLES.map(|table| database.count(table, "1 = 1")), before);
}

#[test]
fn thousands_of_assertions_are_taken_in_batches() {
    let database = migrated();
    let mut large = dump();
    let rows = large.as_array_mut().expect("a list");
    rows.retain(|row| row["model"] != "badges.badgeassertion");
    for pk in 1..=5_000 {
        let url = format!("https://badgr.example.com/public/assertions/e{pk}");
        rows.push(json!({"model": "badges.badgeassertion", "pk": pk, "fields": {
            "created": "2020-01-01T00:00:00Z", "modified": "2020-01-01T00:00:00Z", "user": 1_000 + pk / 2,
            "badge_class": 1 + pk % 2, "data": json!({"entityId": format!("e{pk}")}).to_string(),
            "backend": "BadgrBackend", "image_url": format!("{url}/image"), "assertion_url": url}}));
    }
    let copied = Copied::new(&large);
    let media = ["--media", copied.media.as_str()];
    assert_eq!(import(&database, &copied, &media).1[2], [5_000, 0, 0]);
    assert_eq!(
        database.count("assertion", "backend = 'badgr' AND backend_id IS NOT NULL"),
        5_000
    );
    assert_eq!(database.count("audit", "target = 'badges.badgeassertion'"), 3);
    assert_eq!(import(&database, &copied, &media).1[2], [0, 5_000, 0]);
}
