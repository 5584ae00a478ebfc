//! When the newest configuration of a dump is activated, and when not.

use super::*;

#[test]
fn nobody_gets_again_what_could_not_be_taken() {
    let database = migrated();
    let mut lost = dump();
    let rows = lost.as_array_mut().expect("a list");
    let one = rows
        .iter_mut()
        .find(|row| row["model"] == "badges.badgeassertion" && row["pk"] == 2)
        .expect("Ada's");
    one["fields"]["assertion_url"] = json!("");
    let copied = Copied::new(&lost);
    let media = ["--media", copied.media.as_str()];
    let (code, counts, causes) = import(&database, &copied, &media);
    assert_eq!((code, counts[2]), (1, [2, 0, 1]));
    assert!(
        causes
            .iter()
            .any(|cause| cause.contains("not activated: assertions of enrolled_three")),
        "{causes:?}"
    );
    assert_eq!(database.count("event_badges_configuration", "enabled"), 0);
}

/// The row of this model and key.
fn row<'a>(dump: &'a mut Value, model: &str, pk: i64) -> &'a mut Value {
    let rows = dump.as_array_mut().expect("a list");
    let found = rows.iter_mut().find(|row| row["model"] == model && row["pk"] == pk);
    found.expect("a row")
}

/// Imports into an empty database what must not activate the configuration; what is said of that.
fn not_activated(dump: &Value, what: &str) -> String {
    let database = migrated();
    let copied = Copied::new(dump);
    let (code, _, causes) = import(&database, &copied, &["--media", &copied.media]);
    assert_eq!(code, 1, "{what}: {causes:?}");
    assert_eq!(database.count("event_badges_configuration", "enabled"), 0, "{what}");
    let said = causes.into_iter().find(|cause| cause.contains("not activated"));
    said.unwrap_or_else(|| panic!("{what}: nothing is said"))
}

#[test]
fn a_badge_class_that_is_refused_or_unknown_gives_nobody_a_badge_again() {
    let mut refused = dump();
    row(&mut refused, "badges.badgeclass", 1)["fields"]["criteria"] = json!("");
    let said = not_activated(&refused, "a class that is refused");
    assert!(said.contains("assertions of enrolled_three"), "{said}");

    let mut nameless = dump();
    row(&mut nameless, "badges.badgeclass", 1)["fields"]["slug"] = json!(null);
    let mut without = dump();
    without
        .as_array_mut()
        .expect("a list")
        .retain(|row| row["model"] != "badges.badgeclass");
    let mut damaged = [dump(), dump(), dump()];
    let rows = [
        json!(7),
        json!({"model": "badges.badgeassertion", "pk": 9}),
        json!({"model": "badges.BadgeClass", "pk": 9}),
    ];
    for (damaged, row) in damaged.iter_mut().zip(rows) {
        damaged.as_array_mut().expect("a list").push(row);
    }
    for (dump, what) in [(&nameless, "no slug"), (&without, "no classes")]
        .into_iter()
        .chain(damaged.iter().map(|dump| (dump, "damaged")))
    {
        let said = not_activated(dump, what);
        assert!(
            said.contains("cannot be told") && said.contains("event-badges set"),
            "{what}: {said}"
        );
    }

    // What cannot matter does not hinder.
    let mut harmless = dump();
    let image = json!({"model": "badges.coursecompleteimageconfiguration", "pk": 9});
    harmless.as_array_mut().expect("a list").push(image);
    row(&mut harmless, "badges.badgeclass", 2)["fields"]["slug"] = json!(null);
    let database = migrated();
    let copied = Copied::new(&harmless);
    assert_eq!(import(&database, &copied, &["--media", &copied.media]).0, 1);
    assert_eq!(database.count("event_badges_configuration", "enabled"), 1);
}

#[test]
fn a_badge_class_that_is_here_serves_a_row_that_is_refused() {
    let database = migrated();
    let mut classes = dump();
    let rows = classes.as_array_mut().expect("a list");
    rows.retain(|row| row["model"] == "badges.badgeclass");
    let copied = Copied::new(&classes);
    let media = ["--media", copied.media.as_str()];
    assert_eq!(import(&database, &copied, &media).0, 0);
    let mut refused = dump();
    row(&mut refused, "badges.badgeclass", 1)["fields"]["criteria"] = json!("");
    copied.write(&refused);
    let (code, counts, causes) = import(&database, &copied, &media);
    assert_eq!(
        (code, &counts[0], &counts[2]),
        (1, &[0, 3, 0], &[3, 0, 0]),
        "{causes:?}"
    );
    assert_eq!(causes, ["accolade: badges.badgeclass 1: criteria: needed"]);
    assert_eq!(database.count("event_badges_configuration", "enabled"), 1);
    // Who saved a configuration is kept without a name.
    let authors = database.lines("SELECT DISTINCT changed_by AS line FROM event_badges_configuration");
    assert_eq!(authors, ["Open edX user 7"]);
}
