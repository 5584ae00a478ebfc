use super::*;
use crate::domain::award::AwardState;
use crate::{
    domain::badge_class::{BadgeClassKey, NewBadgeClass},
    store::{
        Store,
        testing::{databases, seed},
    },
};

const COURSE: &str = "edX/Demo/1";

fn badge_class(store: &Store, slug: &str, component: &str, course: &str) -> BadgeClass {
    let key = BadgeClassKey {
        slug: slug.to_owned(),
        issuing_component: component.to_owned(),
        course_id: course.to_owned(),
    };
    let new = NewBadgeClass {
        key,
        mode: String::new(),
        display_name: slug.to_owned(),
        description: String::new(),
        criteria: String::new(),
        image: b"png".to_vec(),
    };
    seed::badge_class(store, &new)
}

fn read<T>(store: &Store, work: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>) -> T {
    store.read("test", work).expect("read")
}

fn urls(store: &Store, filter: &AssertionFilter, window: Window) -> Vec<String> {
    let (_, list) = read(store, |tx| assertions_of(tx, LearnerId(1), filter, window));
    let id = |item: &ListedAssertion| item.assertion_url.rsplit('/').next().map(str::to_owned);
    list.iter().filter_map(id).collect()
}

#[test]
fn a_username_is_that_of_the_newest_event() {
    for database in databases() {
        let store = database.store();
        for (id, username, at) in [(1, "ada", 5), (2, "ada", 7), (3, "ada", 6), (4, "", 9)] {
            seed::learner(&store, id, username, at);
        }
        let who = |name: &str| read(&store, |tx| learner_by_username(tx, name));
        assert_eq!((who("ada"), who("Ada"), who("")), (Some(LearnerId(2)), None, None));
    }
}

#[test]
fn assertions_are_filtered_counted_and_cut() {
    for database in databases() {
        let store = database.store();
        seed::learner(&store, 1, "ada", 1);
        let plain = badge_class(&store, "a", "", "");
        let other = badge_class(&store, "a", "x", COURSE);
        seed::assertion(&store, 1, "1", &plain, 1);
        seed::assertion(&store, 1, "2", &other, 2);
        seed::assertion(&store, 1, "3", &plain, 3);
        seed::assertion(&store, 2, "4", &plain, 4);
        let filter = |class: Option<(&str, &str)>, course: Option<&str>| AssertionFilter {
            badge_class: class.map(|(slug, component)| (slug.to_owned(), component.to_owned())),
            course_id: course.map(str::to_owned),
        };
        let all = Window { start: 0, length: 10 };
        for (filter, expected) in [
            (filter(None, None), vec!["3", "2", "1"]),
            (filter(Some(("a", "")), None), vec!["3", "1"]),
            (filter(Some(("a", "x")), Some(COURSE)), vec!["2"]),
            (filter(Some(("a", "x")), Some("")), vec![]),
            (filter(None, Some("")), vec!["3", "1"]),
        ] {
            assert_eq!(urls(&store, &filter, all), expected, "{filter:?}");
            for start in [0, 2, i64::MAX] {
                let window = Window { start, length: 1 };
                let (count, _) = read(&store, |tx| assertions_of(tx, LearnerId(1), &filter, window));
                assert_eq!(usize::try_from(count), Ok(expected.len()), "{filter:?} from {start}");
            }
        }
        assert_eq!(urls(&store, &filter(None, None), Window { start: 1, length: 1 }), ["2"]);
        seed::revoke(&store, "2", "");
        assert_eq!(urls(&store, &filter(None, None), all), ["3", "1"]);
        let (count, _) = read(&store, |tx| assertions_of(tx, LearnerId(1), &filter(None, None), all));
        assert_eq!(count, 2);
    }
}

#[test]
fn badge_classes_and_courses_are_known_or_not() {
    for database in databases() {
        let store = database.store();
        seed::course(&store, "edX/Other/1", "Other");
        let class = badge_class(&store, "a", "x", COURSE);
        let has = |slug: &str, component: &str, course: Option<&str>| {
            read(&store, |tx| badge_class_exists(tx, slug, component, course))
        };
        assert!(has("a", "x", None) && has("a", "x", Some(COURSE)));
        assert!(!has("a", "x", Some("")) && !has("a", "", None) && !has("b", "x", None));
        for (key, expected) in [(COURSE, true), ("edX/Other/1", true), ("edX/None/1", false)] {
            let key: CourseKey = key.parse().expect("a key");
            assert_eq!(read(&store, |tx| course_exists(tx, &key)), expected, "{key}");
        }
        let found = read(&store, |tx| public_badge_class(tx, &class.public_id));
        assert_eq!(found, Some((class.clone(), None)));
        assert_eq!(
            read(&store, |tx| public_badge_image(tx, &class.public_id)),
            Some(b"png".to_vec())
        );
        assert_eq!(read(&store, |tx| public_badge_image(tx, "none")), None);
        seed::course(&store, COURSE, "Demonstration");
        let (_, name) = read(&store, |tx| public_badge_class(tx, &class.public_id)).expect("found");
        assert_eq!(name.as_deref(), Some("Demonstration"));
    }
}

#[test]
fn a_public_assertion_has_all_that_its_page_shows() {
    for database in databases() {
        let store = database.store();
        seed::learner(&store, 1, "ada", 1);
        seed::course(&store, COURSE, "Demonstration");
        let class = badge_class(&store, "a", "", COURSE);
        seed::assertion(&store, 1, "x1", &class, 1);
        seed::assertion(&store, 9, "x2", &class, 2);
        seed::revoke(&store, "x2", "a mistake");
        let find = |id: &str| read(&store, |tx| public_assertion(tx, id));
        let held = find("x1").expect("found");
        assert_eq!(
            (held.username.as_str(), held.course_name.as_deref()),
            ("ada", Some("Demonstration"))
        );
        assert_eq!(held.recipient, Some(("b7f3c1".to_owned(), "sha256$00".to_owned())));
        assert_eq!((held.badge_class, held.revoked), (class, None));
        let revoked = find("x2").expect("found");
        assert_eq!(revoked.revoked.map(|(_, reason)| reason).as_deref(), Some("a mistake"));
        assert_eq!((revoked.username.as_str(), find("x3")), ("", None));
        let recent = read(&store, |tx| recent_assertions(tx, 1));
        assert_eq!(recent.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["x2"]);
    }
}

#[test]
fn awards_are_listed_by_state() {
    for database in databases() {
        let store = database.store();
        seed::learner(&store, 1, "ada", 1);
        let class = badge_class(&store, "a", "", "");
        seed::award(&store, 1, "w1", &class, ("blocked", Some("no_email")), 1);
        seed::award(&store, 2, "w2", &class, ("published", None), 2);
        let window = Window { start: 0, length: 10 };
        let list = |state| -> Vec<_> {
            let filter = AwardFilter {
                state,
                ..AwardFilter::default()
            };
            let list = read(&store, |tx| awards(tx, &filter, window)).into_iter();
            list.map(|award| (award.id, award.username, award.state_reason))
                .collect()
        };
        let blocked = ("w1".to_owned(), "ada".to_owned(), Some("no_email".to_owned()));
        let published = ("w2".to_owned(), String::new(), None);
        assert_eq!(list(None), [published, blocked.clone()]);
        assert_eq!(list(Some(AwardState::Blocked)), [blocked]);
        let count = |state, username: Option<&str>, slug: Option<&str>| {
            let filter = AwardFilter {
                id: None,
                state,
                username: username.map(str::to_owned),
                slug: slug.map(str::to_owned),
            };
            read(&store, |tx| count_awards(tx, &filter))
        };
        assert_eq!(count(Some(AwardState::Dead), None, None), 0);
        assert_eq!(count(None, None, None), 2);
        assert_eq!(
            (count(None, Some("ada"), Some("a")), count(None, Some("bob"), None)),
            (1, 0)
        );
        assert_eq!(count(None, None, Some("b")), 0);
    }
}
