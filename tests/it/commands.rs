//! The real program's command line: what documents and deployment call is there, and mistakes are told apart.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

/// The commands of the service that there are.
const COMMANDS: &[&str] = &[
    "serve",
    "demo",
    "migrate",
    "check",
    "healthcheck",
    "openapi",
    "asyncapi",
    "publish",
    "badge-class list",
    "badge-class import",
    "badge-class export",
    "event-badges show",
    "event-badges set",
    "event-badges preview",
    "backfill",
    "explain",
    "awards list",
    "awards retry",
    "awards cancel",
    "dead-letters list",
    "dead-letters show",
    "dead-letters replay",
    "dead-letters drop",
    "dead-letters resume",
    "audit",
    "audit-backend",
    "revoke",
    "completion-images list",
    "completion-images set",
    "completion-images delete",
    "import-openedx",
];

use crate::harness::binary::program;
use crate::harness::database::Database;
use crate::harness::logs::SECRET_KEY;
use crate::harness::process::free_port;
use crate::harness::world::badge_class;

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.env_clear().envs(settings.iter().copied()).args(arguments);
    command.output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_command_of_the_deployment_is_one_of_the_program_and_explains_itself() {
    for command in COMMANDS {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let output = run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{command}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("Usage: accolade"), "{command}");
    }
    for wrong in [
        vec!["juggle"],
        vec!["event-badges", "sett"],
        vec!["serve", "--roles", "admin"],
        vec![],
    ] {
        let output = run(&wrong, &[]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", text(&output.stderr));
    }
}

#[test]
fn the_descriptions_are_printed_without_settings_and_without_a_database() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Whoever read these would end with exit code 2.
    let wrong = [("HTTP_LISTEN", "nowhere"), ("DATABASE_URL", "nothing")];
    for (command, version) in [("openapi", "3.1."), ("asyncapi", "3.0.")] {
        let output = Command::new(program())
            .current_dir(directory.path())
            .env_clear()
            .envs(wrong)
            .arg(command)
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(0), "{command}: {}", text(&output.stderr));
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(
            document[command]
                .as_str()
                .is_some_and(|number| number.starts_with(version)),
            "{command}"
        );
        assert!(text(&output.stdout).starts_with("{\n  \""), "it is indented");
    }
    let left = std::fs::read_dir(directory.path()).expect("it is there").count();
    assert_eq!(left, 0, "nothing is written");
}

#[test]
fn wrong_settings_are_named_all_at_once_and_never_quoted() {
    let settings = [
        ("DATABASE_URL", "postgres://someone:hidden-password@127.0.0.1/none"),
        ("HTTP_LISTEN", "hidden-address"),
        ("BADGR_BASE_URL", "https://badgr.example.com"),
        ("BADGR_PASSWORD", "hidden-too"),
    ];
    let output = run(&["check"], &settings);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for name in ["SECRET_KEY", "HTTP_LISTEN", "BADGR_USERNAME", "BADGR_ISSUER_SLUG"] {
        assert!(errors.contains(name), "{name} is not named: {errors}");
    }
    assert!(!errors.contains("hidden"), "a value is quoted: {errors}");
}

#[test]
fn what_cannot_be_reached_is_told_on_standard_error_a_line_each() {
    let port = free_port();
    let servers = format!("127.0.0.1:{port}");
    let settings = [
        ("DATABASE_URL", "sqlite:///nonexistent/accolade.db"),
        ("KAFKA_BOOTSTRAP_SERVERS", servers.as_str()),
    ];
    for arguments in [&["check"][..], &["check", "--json"]] {
        let output = run(arguments, &settings);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        let lines: Vec<&str> = errors.lines().collect();
        assert!(
            matches!(lines[..], [database, kafka] if database.contains("DATABASE_URL") && kafka.contains("KAFKA_BOOTSTRAP_SERVERS")),
            "{errors}"
        );
    }
}

#[test]
fn the_demo_tells_its_story_to_the_end_and_of_no_lost_broker() {
    let output = run(&["demo", "--once"], &[]);
    let (said, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{errors}");
    assert!(!errors.contains("broker"), "{errors}");
    let links = said.lines().filter(|line| line.contains("/badges/")).count();
    assert!(
        links > 10 && said.contains(&format!("{links} awards published.")),
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "plain in a pipe: {said}");
}

#[test]
fn a_setting_that_is_no_text_is_named() {
    let mut command = Command::new(program());
    command.env_clear().arg("check");
    command.env("INGEST_CONSUMERS", OsStr::from_bytes(b"\xff"));
    let output = command.output().expect("the program runs");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("INGEST_CONSUMERS: this is not UTF-8"), "{errors}");
}

#[test]
fn badge_classes_and_configurations_go_in_and_come_out() {
    let database = Database::of_environment();
    let settings = [("DATABASE_URL", database.url()), ("SECRET_KEY", SECRET_KEY)];
    let done = |arguments: &[&str]| {
        let output = run(arguments, &settings);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, value: serde_json::Value| {
        let path = directory.path().join(name);
        std::fs::write(&path, value.to_string()).expect("the file can be written");
        path.display().to_string()
    };
    done(&["migrate"]);
    let classes = serde_json::json!({"badge_classes": [badge_class("three", "openedx__course", 1)]});
    let file = write("classes.json", classes);
    done(&["badge-class", "import", &file]);
    done(&["badge-class", "import", &file]);
    assert_eq!(
        database.count("badge_class", "1 = 1"),
        1,
        "the second import changes nothing"
    );
    assert!(done(&["badge-class", "list"]).contains("three"));

    let rules = |enrolled: &str| serde_json::json!({"enabled": true, "courses_enrolled": enrolled, "courses_completed": "", "course_groups": ""});
    let mut file = rules("3,nowhere\nx,three\n0,nobody");
    file["enabled"] = "yes".into();
    file["course_grups"] = "g".into();
    let file = write("wrong.json", file);
    for command in ["set", "preview"] {
        let wrong = run(&["event-badges", command, &file], &settings);
        assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong.stderr));
        let told = text(&wrong.stderr);
        let told: Vec<&str> = told.lines().collect();
        for (line, parts) in told.iter().zip([
            ["enabled: ", "true or false"],
            ["course_grups: ", "no such field"],
            ["courses_enrolled, line 1: ", "nowhere"],
            ["courses_enrolled, line 2: ", "\"x\""],
            ["courses_enrolled, line 3: ", "\"0\""],
            ["courses_enrolled, line 3: ", "nobody"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {told:?}");
        }
        assert_eq!(told.len(), 6, "{told:?}");
    }
    assert_eq!(
        database.count("event_badges_configuration", "1 = 1"),
        0,
        "nothing is saved"
    );
    done(&["event-badges", "set", &write("right.json", rules("3,three"))]);
    assert!(done(&["event-badges", "show"]).contains("3,three"));
    assert_eq!(
        database.count("event_badges_configuration", "enabled AND activated_at IS NOT NULL"),
        1
    );
}

#[test]
fn badge_classes_move_from_one_database_to_another_as_json_and_as_a_zip() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let of = |database: &Database, arguments: &[&str]| {
        let output = run(
            arguments,
            &[("DATABASE_URL", database.url()), ("SECRET_KEY", SECRET_KEY)],
        );
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let first = Database::of_environment();
    of(&first, &["migrate"]);
    let classes = [
        badge_class("three", "openedx__course", 1),
        badge_class("first_post", "forum", 2),
    ];
    let file = path("classes.json");
    std::fs::write(&file, serde_json::json!({"badge_classes": classes}).to_string()).expect("written");
    of(&first, &["badge-class", "import", &file]);
    let all = of(&first, &["badge-class", "export"]);
    for (name, start) in [
        ("all.json", &b"{"[..]),
        ("all.zip", b"PK\x03\x04"),
        ("ALL.ZIP", b"PK\x03\x04"),
    ] {
        let file = path(name);
        assert!(of(&first, &["badge-class", "export", &file]).contains("2 badge classes"));
        assert!(std::fs::read(&file).expect("written").starts_with(start), "{name}");
        let second = Database::of_environment();
        of(&second, &["migrate"]);
        of(&second, &["badge-class", "import", &file]);
        assert_eq!(of(&second, &["badge-class", "export"]), all, "{name}: nothing is lost");
    }
    // What a file is, its first bytes say, and not its name.
    std::fs::copy(path("all.zip"), path("renamed.json")).expect("copied");
    assert!(of(&first, &["badge-class", "import", &path("renamed.json")]).contains("exists unchanged"));
}

#[test]
fn completion_images_are_set_listed_and_deleted() {
    let database = Database::of_environment();
    let settings = [("DATABASE_URL", database.url()), ("SECRET_KEY", SECRET_KEY)];
    let exit = |arguments: &[&str], code: i32| {
        let output = run(arguments, &settings);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(if code == 0 { &output.stdout } else { &output.stderr })
    };
    let icon = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/images/honor.png");
    let set = [
        "completion-images",
        "set",
        "--mode",
        "audit",
        "--icon",
        icon,
        "--default",
    ];
    exit(&["migrate"], 0);
    assert!(exit(&set, 0).contains("set"));
    assert!(exit(&set[..6], 0).contains("the default"), "it stays the default");
    let listed = exit(&["completion-images", "list", "--json"], 0);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let defaults: Vec<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter(|image| image["default"] == true)
        .map(|image| image["mode"].clone())
        .collect();
    assert_eq!(defaults, ["audit"]);
    exit(&["completion-images", "delete", "audit"], 0);
    assert!(exit(&["completion-images", "delete", "audit"], 1).contains("audit"));
    assert!(exit(&["completion-images", "set", "--mode", "", "--icon", icon], 2).contains("--mode"));
    let text_file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(exit(&["completion-images", "set", "--mode", "x", "--icon", text_file], 1).contains("--icon"));
    assert_eq!(database.count("audit", "action LIKE 'completion_image.%'"), 3);
    // Without USER and the like, as in a container, whoever did it has a number.
    assert_eq!(database.count("audit", "actor LIKE 'uid %'"), 3);
    let logged = exit(&["audit", "--action", "completion_image.delete", "--json"], 0);
    let logged: serde_json::Value = serde_json::from_str(&logged).expect("JSON");
    assert_eq!(
        (&logged[0]["target"], &logged[0]["via"]),
        (&"audit".into(), &"command line".into())
    );
    assert_eq!(logged.as_array().map(Vec::len), Some(1));
}
