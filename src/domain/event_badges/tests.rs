use super::*;

fn texts(enrolled: &str, completed: &str, groups: &str) -> ConfigurationTexts {
    ConfigurationTexts {
        courses_enrolled: enrolled.to_owned(),
        courses_completed: completed.to_owned(),
        course_groups: groups.to_owned(),
    }
}

fn errors(texts: &ConfigurationTexts) -> Vec<String> {
    let errors = ParsedConfiguration::parse(texts).expect_err("errors");
    errors.iter().map(ToString::to_string).collect()
}

fn key(slug: &str) -> BadgeClassKey {
    BadgeClassKey {
        slug: slug.to_owned(),
        issuing_component: "openedx__course".to_owned(),
        course_id: String::new(),
    }
}

#[test]
fn lines_are_read_whatever_ends_them_and_printed_back() {
    let written = texts(
        " 3 , Enrolled_Three \r\n\r\n5,enrolled_five\r7,seven\n",
        "",
        "\nprereq_cs,course-v1:edX+CS101+2026, edX/CS102/2026 ,edX/CS102/2026",
    );
    let parsed = ParsedConfiguration::parse(&written).expect("a configuration");
    let lines: Vec<(Field, usize, &str)> = parsed
        .lines
        .iter()
        .map(|l| (l.field, l.line, l.slug.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (Field::CoursesEnrolled, 1, "enrolled_three"),
            (Field::CoursesEnrolled, 3, "enrolled_five"),
            (Field::CoursesEnrolled, 4, "seven"),
            (Field::CourseGroups, 2, "prereq_cs"),
        ]
    );
    let printed = texts(
        "3,enrolled_three\n5,enrolled_five\n7,seven",
        "",
        "prereq_cs,course-v1:edX+CS101+2026,edX/CS102/2026",
    );
    assert_eq!(parsed.print(), printed);
    let conditions = |parsed: ParsedConfiguration| -> Vec<Condition> {
        parsed.lines.into_iter().map(|line| line.condition).collect()
    };
    let again = ParsedConfiguration::parse(&printed).expect("a configuration");
    assert_eq!(conditions(again), conditions(parsed));
}

#[test]
fn every_error_is_named_with_its_field_and_line() {
    let wrong = texts(
        "0,zero\n-1,minus\n1.5,half\nx,letter\n99999999999,huge\n3\n3,a,b\n,",
        "3,a\n3,b\n4,a",
        "alone\ng,not-a-key,edX/A/1,\ng,edX/A/1\nBad Slug,edX/A/1",
    );
    assert_eq!(
        errors(&wrong),
        [
            "courses_enrolled, line 1: the count \"0\" is not an integer of at least 1",
            "courses_enrolled, line 2: the count \"-1\" is not an integer of at least 1",
            "courses_enrolled, line 3: the count \"1.5\" is not an integer of at least 1",
            "courses_enrolled, line 4: the count \"x\" is not an integer of at least 1",
            "courses_enrolled, line 5: the count \"99999999999\" is above 2147483647, more than is counted",
            "courses_enrolled, line 6: expected COUNT,SLUG; found 1 parts",
            "courses_enrolled, line 7: expected COUNT,SLUG; found 3 parts",
            "courses_enrolled, line 8: the slug \"\": must not be empty",
            "courses_enrolled, line 8: the count \"\" is not an integer of at least 1",
            "courses_completed, line 2: the count 3 is in line 1 already",
            "courses_completed, line 3: the slug \"a\" is in line 1 already",
            "course_groups, line 1: expected SLUG,COURSE_KEY[,COURSE_KEY…]; found no course key",
            "course_groups, line 2: \"not-a-key\": not a course key; expected course-v1:ORG+COURSE+RUN or \
             ORG/COURSE/RUN, at most 255 characters",
            "course_groups, line 2: \"\": not a course key; expected course-v1:ORG+COURSE+RUN or ORG/COURSE/RUN, at \
             most 255 characters",
            "course_groups, line 3: the slug \"g\" is in line 2 already",
            "course_groups, line 4: the slug \"bad slug\": expected lower-case letters, digits, '_' and '-' only",
        ]
    );
    let long = texts(&"x".repeat(65537), "", "");
    assert_eq!(errors(&long), ["courses_enrolled, line 1: too long: at most 64 KiB"]);
}

#[test]
fn one_slug_may_be_in_two_fields() {
    assert!(ParsedConfiguration::parse(&texts("3,a", "3,a", "a,edX/A/1")).is_ok());
}

#[test]
fn slugs_resolve_to_badge_classes_and_unknown_ones_are_named() {
    let lookup = |slug: &str| (slug != "nobody").then(|| (BadgeClassId(7), key(slug)));
    let rules = texts("3,a", "", "g,edX/A/1").check(12, lookup).expect("rules");
    assert_eq!(rules.configuration_id, 12);
    let courses = vec!["edX/A/1".parse().expect("a key")];
    let expected = [("a", Condition::Enrolled(3)), ("g", Condition::Group(courses))];
    let resolved: Vec<(&str, Condition)> = rules
        .rules
        .iter()
        .map(|rule| (rule.badge_class_key.slug.as_str(), rule.condition.clone()))
        .collect();
    assert_eq!(resolved, expected);
    let errors = texts("3,nobody\n0,a\n0,nobody\n3,a,nobody", "", "")
        .check(12, lookup)
        .expect_err("errors");
    let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "courses_enrolled, line 1: there is no badge class \"nobody\" with the issuing component openedx__course \
             and without a course",
            "courses_enrolled, line 2: the count \"0\" is not an integer of at least 1",
            "courses_enrolled, line 3: the count \"0\" is not an integer of at least 1",
            "courses_enrolled, line 3: the slug \"nobody\" is in line 1 already",
            "courses_enrolled, line 3: there is no badge class \"nobody\" with the issuing component openedx__course \
             and without a course",
            "courses_enrolled, line 4: expected COUNT,SLUG; found 3 parts",
        ]
    );
}

proptest::proptest! {
    #[test]
    fn any_texts_are_read_or_refused(a in "[0-9a-z, \r\n]{0,40}", b in ".{0,40}", c in "[a-z,/\n]{0,40}") {
        if let Ok(parsed) = ParsedConfiguration::parse(&texts(&a, &b, &c)) {
            let again = ParsedConfiguration::parse(&parsed.print()).expect("what was printed is read");
            proptest::prop_assert_eq!(again.lines.len(), parsed.lines.len());
        }
    }
}
