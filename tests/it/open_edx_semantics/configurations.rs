//! The three texts of a configuration.

use accolade::domain::evaluate::Condition;
use accolade::domain::event_badges::{ConfigurationLine, ConfigurationTexts, ParsedConfiguration};

/// What both read of a text: counts and slugs, or nothing where it is refused as a whole.
type Counts = Option<&'static [(i32, &'static str)]>;

const TAKEN: Counts = Some(&[(3, "three")]);
const BOTH: Counts = Some(&[(3, "three"), (5, "five")]);

/// The text, what the app read, what ours reads, and why where they differ.
const COUNTS: [(&str, Counts, Counts, &str); 24] = [
    ("3,three", TAKEN, TAKEN, ""),
    ("3,three\n5,five", BOTH, BOTH, ""),
    ("3,three\r5,five", BOTH, BOTH, ""),
    ("3,three\r\n5,five", BOTH, BOTH, ""),
    ("3,three\r\n\r\n5,five\r\n", BOTH, BOTH, ""),
    ("  3 , Three  ", TAKEN, TAKEN, ""),
    ("\n\n3,three\n   \n", TAKEN, TAKEN, ""),
    ("+3,three", TAKEN, TAKEN, ""),
    ("", Some(&[]), Some(&[]), ""),
    ("   ", Some(&[]), Some(&[]), ""),
    ("3.0,half", None, None, ""),
    ("three,3", None, None, ""),
    ("3", None, None, ""),
    ("3,three,", None, None, ""),
    (
        "3,three\n3,other",
        Some(&[(3, "other")]),
        None,
        "the app forgot the first silently",
    ),
    (
        "3,three\n5,three",
        Some(&[(3, "three"), (5, "three")]),
        None,
        "one of the two could never be reached",
    ),
    (
        "0,zero",
        Some(&[(0, "zero")]),
        None,
        "nobody is to get a badge for nothing",
    ),
    (
        "-1,minus",
        Some(&[(-1, "minus")]),
        None,
        "nobody has fewer than no courses",
    ),
    ("3,", Some(&[(3, "")]), None, "no badge class has an empty slug"),
    ("3,a b", Some(&[(3, "a b")]), None, "no badge class has such a slug"),
    (
        "3,Ünïcode",
        Some(&[(3, "ünïcode")]),
        None,
        "no badge class has such a slug",
    ),
    ("3_0,thirty", Some(&[(30, "thirty")]), None, "a whim of Python's int()"),
    ("٣,three", TAKEN, None, "a whim of Python's int()"),
    (
        "3,three\u{2028}5,five",
        BOTH,
        None,
        "only \\n, \\r and \\r\\n end a line",
    ),
];

#[test]
fn lines_of_counts_are_read_as_the_app_read_them() {
    for (text, app, ours, why) in COUNTS {
        assert_eq!(app == ours, why.is_empty(), "{text:?}: a difference has a reason");
        for enrolled in [true, false] {
            let mut texts = ConfigurationTexts::default();
            *(if enrolled {
                &mut texts.courses_enrolled
            } else {
                &mut texts.courses_completed
            }) = text.to_owned();
            let read = ParsedConfiguration::parse(&texts).ok().map(|read| {
                let line = |line: ConfigurationLine| match line.condition {
                    Condition::Enrolled(count) | Condition::Completed(count) => (count, line.slug),
                    Condition::Group(_) => panic!("not a group"),
                };
                read.lines.into_iter().map(line).collect::<Vec<_>>()
            });
            let expected = ours.map(|lines| lines.iter().map(|(n, slug)| (*n, (*slug).to_owned())).collect());
            assert_eq!(read, expected, "{text:?}");
        }
    }
}

type Groups = Option<&'static [(&'static str, &'static [&'static str])]>;

const CS: Groups = Some(&[("cs", &["edX/A/1"])]);
const CS_AND_MATH: Groups = Some(&[("cs", &["edX/A/1"]), ("math", &["edX/B/1"])]);

const GROUPS: [(&str, Groups, Groups, &str); 11] = [
    ("cs,edX/A/1", CS, CS, ""),
    (
        "CS , edX/A/1 , course-v1:a+b+c ",
        Some(&[("cs", &["edX/A/1", "course-v1:a+b+c"])]),
        Some(&[("cs", &["edX/A/1", "course-v1:a+b+c"])]),
        "",
    ),
    ("cs,edX/A/1\rmath,edX/B/1", CS_AND_MATH, CS_AND_MATH, ""),
    ("\n cs,edX/A/1 \n", CS, CS, ""),
    ("cs", None, None, ""),
    ("cs,", None, None, ""),
    ("cs,edX/A/1,", None, None, ""),
    ("cs,not a key", None, None, ""),
    (
        "cs,edX/A/1\n\nmath,edX/B/1",
        None,
        CS_AND_MATH,
        "an empty line was an error in this text alone",
    ),
    (
        "cs,edX/A/1,edX/A/1",
        Some(&[("cs", &["edX/A/1", "edX/A/1"])]),
        CS,
        "one certificate is not two: in the app nobody could reach it",
    ),
    (
        "cs,edX/A/1\ncs,edX/B/1",
        Some(&[("cs", &["edX/B/1"])]),
        None,
        "the app forgot the first silently",
    ),
];

#[test]
fn lines_of_groups_are_read_as_the_app_read_them() {
    for (text, app, ours, why) in GROUPS {
        assert_eq!(app == ours, why.is_empty(), "{text:?}: a difference has a reason");
        let texts = ConfigurationTexts {
            course_groups: text.to_owned(),
            ..ConfigurationTexts::default()
        };
        let read = ParsedConfiguration::parse(&texts).ok().map(|read| {
            let groups = read.lines.into_iter().map(|line| match line.condition {
                Condition::Group(courses) => (line.slug, courses.iter().map(ToString::to_string).collect()),
                other => panic!("not a group: {other:?}"),
            });
            groups.collect::<Vec<(String, Vec<String>)>>()
        });
        let owned = |groups: &[(&str, &[&str])]| {
            let group = |(slug, keys): &(&str, &[&str])| {
                ((*slug).to_owned(), keys.iter().map(|key| (*key).to_owned()).collect())
            };
            groups.iter().map(group).collect::<Vec<(String, Vec<String>)>>()
        };
        assert_eq!(read, ours.map(owned), "{text:?}");
    }
}
