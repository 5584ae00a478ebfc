//! The slugs of course completion badges.

use accolade::domain::CourseKey;
use accolade::domain::completion::badge_class_key;
use accolade::domain::limits::check_slug;

/// What ours does with what the app took.
#[derive(Debug, Clone, Copy)]
enum Ours {
    /// The same.
    Same,
    /// Something else, on purpose, for this reason.
    Differs(&'static str, &'static str),
}
use Ours::{Differs, Same};

const LONG: &str = "a key that is cut";

/// Course key, mode, the slug in the app, in ours.
const SLUGS: [(&str, &str, &str, Ours); 18] = [
    (
        "course-v1:edX+course_test+test_run",
        "honor",
        "course-v1edxcourse_testtest_run_honor_2055051",
        Same,
    ),
    (
        "course-v1:edX+course_test+test_run",
        "verified",
        "course-v1edxcourse_testtest_run_verified_d550ad7",
        Same,
    ),
    (
        "edX/course_test/test_run",
        "honor",
        "edxcourse_testtest_run_honor_fc5519b",
        Same,
    ),
    (
        "edX/course_test/test_run",
        "verified",
        "edxcourse_testtest_run_verified_a199ec0",
        Same,
    ),
    (
        "course-v1:MITx+6.00.1x+2T2026",
        "honor",
        "course-v1mitx6001x2t2026_honor_c648a07",
        Same,
    ),
    (
        "course-v1:Org-1+A--B+R~1",
        "honor",
        "course-v1org-1a-br1_honor_8eabb29",
        Same,
    ),
    (
        "course-v1:A.B+C_D_+_E",
        "honor",
        "course-v1abc_d__e_honor_2bb84fb",
        Same,
    ),
    (
        "course-v1:École+Été+2026",
        "honor",
        "course-v1ecoleete2026_honor_4310355",
        Same,
    ),
    (
        "course-v1:清华+计算机+2026",
        "honor",
        "course-v12026_honor_5f61800",
        Same,
    ),
    ("course-v1:ΑΒΓ+x+1", "honor", "course-v1x1_honor_7da7d24", Same),
    ("course-v1:İ+ẞ+1", "honor", "course-v1i1_honor_fb501a8", Same),
    (
        "edX/Demo/1",
        "no-id-professional",
        "edxdemo1_no-id-professional_340da0f",
        Same,
    ),
    ("edX/Demo/1", "No ID", "edxdemo1_no-id_4a72960", Same),
    ("edX/Demo/1", "mode/1", "edxdemo1_mode1_6843f53", Same),
    // The older Django's answers; since 3.2 it strips `-` and `_` from both ends, and the app put one `_` back.
    (
        "edX/Demo/1",
        "",
        "edxdemo1_b2c1ef8",
        Differs("edxdemo1__b2c1ef8", "the older form, which CONTRACT names"),
    ),
    (
        "edX/Demo/1",
        "_x_",
        "edxdemo1__x_7bfa0bf",
        Differs("edxdemo1__x__7bfa0bf", "the older form"),
    ),
    (
        "edX/Demo/1",
        "x ",
        "edxdemo1_x_5b72128",
        Differs("edxdemo1_x-_5b72128", "the older form"),
    ),
    (
        "-edX/a/b",
        "honor",
        "edxab_honor_bd34e16",
        Differs("-edxab_honor_bd34e16", "the older form"),
    ),
];

#[test]
fn completion_slugs_are_those_of_the_app() {
    for (course, mode, app, ours) in SLUGS {
        let key = badge_class_key(
            &course.parse::<CourseKey>().unwrap_or_else(|e| panic!("{course}: {e}")),
            mode,
        );
        let expected = match ours {
            Same => app,
            Differs(ours, why) => {
                assert_ne!(ours, app, "{course} {mode}: {why}");
                ours
            }
        };
        assert_eq!(key.slug, expected, "{course} in mode {mode:?}");
        assert_eq!(check_slug(&key.slug), Ok(()), "{course}");
        assert_eq!((key.issuing_component.as_str(), key.course_id.as_str()), ("", course));
    }
}

/// How many `x` the course's part has, the length of the slug, its end: of the app until Django 3.2, and of ours. Since
/// then the app's is one longer, 256, which its own field did not take.
const LONG_SLUGS: [(usize, usize, &str); 5] = [
    (217, 244, "xxxxx1_honor_53515f3"),
    (218, 245, "xxxxx1_honor_104be52"),
    (219, 246, "xxxxx1_honor_a343795"),
    (230, 255, "xxxxxxx1_honoe9fff35"),
    (239, 255, "xxxxxxxxxxxxx"),
];

#[test]
fn long_slugs_are_cut_where_the_app_cut_them() {
    for (length, expected, end) in LONG_SLUGS {
        let course = format!("course-v1:edX+{}+1", "x".repeat(length));
        let slug = badge_class_key(&course.parse().expect(LONG), "honor").slug;
        assert_eq!(slug.len(), expected, "{length}");
        let cut = if length == 239 {
            &slug[..slug.len() - 7]
        } else {
            slug.as_str()
        };
        assert!(cut.ends_with(end), "{length}: {slug}");
    }
}
