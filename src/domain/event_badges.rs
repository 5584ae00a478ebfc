//! The configuration of the course event badges: three texts, one badge a line, as Open edX has them.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    num::IntErrorKind,
};

use super::{
    CourseKey,
    badge_class::{BadgeClassId, BadgeClassKey},
    evaluate::{Condition, Rule, Rules},
    limits,
};

/// The three texts, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigurationTexts {
    /// Lines of `COUNT,SLUG`: active enrolments.
    pub courses_enrolled: String,
    /// Lines of `COUNT,SLUG`: passed courses.
    pub courses_completed: String,
    /// Lines of `SLUG,COURSE_KEY[,COURSE_KEY…]`: all of these passed.
    pub course_groups: String,
}

/// One of the three texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// `courses_enrolled`
    CoursesEnrolled,
    /// `courses_completed`
    CoursesCompleted,
    /// `course_groups`
    CourseGroups,
}

/// The configuration, understood; its slugs are not yet known to name badge classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParsedConfiguration {
    /// Its badges, in the order of the fields and of their lines.
    pub lines: Vec<ConfigurationLine>,
}

/// One badge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationLine {
    /// Where it is written.
    pub field: Field,
    /// In which line, from 1.
    pub line: usize,
    /// The badge class's slug, in lower case.
    pub slug: String,
    /// For what.
    pub condition: Condition,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{field}, line {line}: {reason}")]
pub struct ConfigurationError {
    /// Where it is written.
    pub field: Field,
    /// In which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Field {
    /// The field's name, as in files, the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CoursesEnrolled => "courses_enrolled",
            Self::CoursesCompleted => "courses_completed",
            Self::CourseGroups => "course_groups",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ConfigurationTexts {
    /// Reads and resolves the texts; every error of both is in the answer.
    ///
    /// `lookup` finds the badge class with the issuing component `openedx__course`, no course and this slug.
    pub fn check(
        &self,
        configuration_id: i32,
        lookup: impl Fn(&str) -> Option<(BadgeClassId, BadgeClassKey)>,
    ) -> Result<Rules, Vec<ConfigurationError>> {
        let (rules, errors) = self.usable(configuration_id, lookup);
        if errors.is_empty() { Ok(rules) } else { Err(errors) }
    }

    /// The rules of the lines without an error, and every error, as in [`ConfigurationTexts::check`].
    pub fn usable(
        &self,
        configuration_id: i32,
        lookup: impl Fn(&str) -> Option<(BadgeClassId, BadgeClassKey)>,
    ) -> (Rules, Vec<ConfigurationError>) {
        let Reader {
            lines,
            mut errors,
            slugs_of_wrong_lines,
        } = self.read();
        let (rules, unknown) = ParsedConfiguration { lines }.resolve_usable(configuration_id, &lookup);
        errors.extend(unknown);
        let unknown = slugs_of_wrong_lines
            .into_iter()
            .filter(|(_, _, slug)| lookup(slug).is_none());
        errors.extend(unknown.map(|(field, line, slug)| unknown_slug(field, line, &slug)));
        errors.sort_by_key(|error| (error.field, error.line));
        (rules, errors)
    }

    fn read(&self) -> Reader {
        let mut reader = Reader::default();
        reader.field(Field::CoursesEnrolled, &self.courses_enrolled);
        reader.field(Field::CoursesCompleted, &self.courses_completed);
        reader.field(Field::CourseGroups, &self.course_groups);
        reader
    }
}

impl ParsedConfiguration {
    /// Reads the three texts. Lines end in `\n`, `\r` or `\r\n`, blanks around a part do not matter, empty lines are
    /// skipped; all that is wrong is in the answer.
    pub fn parse(texts: &ConfigurationTexts) -> Result<Self, Vec<ConfigurationError>> {
        let Reader { lines, errors, .. } = texts.read();
        if errors.is_empty() {
            Ok(Self { lines })
        } else {
            Err(errors)
        }
    }

    /// The texts that are read as this configuration, one badge a line.
    pub fn print(&self) -> ConfigurationTexts {
        let text = |field| {
            let lines = self.lines.iter().filter(|line| line.field == field);
            lines.map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        ConfigurationTexts {
            courses_enrolled: text(Field::CoursesEnrolled),
            courses_completed: text(Field::CoursesCompleted),
            course_groups: text(Field::CourseGroups),
        }
    }

    /// The rules, once every slug is found; an unknown one is an error.
    ///
    /// `lookup` finds the badge class with the issuing component `openedx__course`, no course and this slug.
    pub fn resolve(
        &self,
        configuration_id: i32,
        lookup: impl Fn(&str) -> Option<(BadgeClassId, BadgeClassKey)>,
    ) -> Result<Rules, Vec<ConfigurationError>> {
        let (rules, errors) = self.resolve_usable(configuration_id, lookup);
        if errors.is_empty() { Ok(rules) } else { Err(errors) }
    }

    fn resolve_usable(
        &self,
        configuration_id: i32,
        lookup: impl Fn(&str) -> Option<(BadgeClassId, BadgeClassKey)>,
    ) -> (Rules, Vec<ConfigurationError>) {
        let mut errors = Vec::new();
        let mut rules = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            match lookup(&line.slug) {
                Some((badge_class, badge_class_key)) => rules.push(Rule {
                    badge_class,
                    badge_class_key,
                    condition: line.condition.clone(),
                }),
                None => errors.push(unknown_slug(line.field, line.line, &line.slug)),
            }
        }
        let rules = Rules {
            configuration_id,
            rules,
        };
        (rules, errors)
    }
}

impl fmt::Display for ConfigurationLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.condition {
            Condition::Enrolled(count) | Condition::Completed(count) => write!(f, "{count},{}", self.slug),
            Condition::Group(courses) => {
                f.write_str(&self.slug)?;
                courses.iter().try_for_each(|course| write!(f, ",{course}"))
            }
        }
    }
}

#[derive(Default)]
struct Reader {
    lines: Vec<ConfigurationLine>,
    errors: Vec<ConfigurationError>,
    /// Slugs of lines that are wrong in something else: these may be unknown besides.
    slugs_of_wrong_lines: Vec<(Field, usize, String)>,
}

impl Reader {
    fn field(&mut self, field: Field, text: &str) {
        if let Err(error) = limits::check_text(text) {
            return self.errors.push(ConfigurationError {
                field,
                line: 1,
                reason: error.to_string(),
            });
        }
        let mut slugs: HashMap<String, usize> = HashMap::new();
        let mut counts: HashMap<i32, usize> = HashMap::new();
        for (line, text) in (1..).zip(text.replace("\r\n", "\n").split(['\n', '\r'])) {
            if text.trim().is_empty() {
                continue;
            }
            let parts: Vec<&str> = text.split(',').map(str::trim).collect();
            let mut wrong = Vec::new();
            let (slug, condition) = match field {
                Field::CoursesEnrolled => counted(&parts, Condition::Enrolled, &mut counts, line, &mut wrong),
                Field::CoursesCompleted => counted(&parts, Condition::Completed, &mut counts, line, &mut wrong),
                Field::CourseGroups => group(&parts, &mut wrong),
            };
            if let Some(slug) = &slug
                && let Some(first) = slugs.insert(slug.clone(), line)
            {
                wrong.push(format!("the slug {} is in line {first} already", quoted(slug)));
            }
            match (slug, condition) {
                (Some(slug), Some(condition)) if wrong.is_empty() => self.lines.push(ConfigurationLine {
                    field,
                    line,
                    slug,
                    condition,
                }),
                (slug, _) => {
                    let error = |reason| ConfigurationError { field, line, reason };
                    self.errors.extend(wrong.into_iter().map(error));
                    self.slugs_of_wrong_lines.extend(slug.map(|slug| (field, line, slug)));
                }
            }
        }
    }
}

fn counted(
    parts: &[&str],
    condition: fn(i32) -> Condition,
    counts: &mut HashMap<i32, usize>,
    line: usize,
    wrong: &mut Vec<String>,
) -> (Option<String>, Option<Condition>) {
    let &[count, slug] = parts else {
        wrong.push(format!("expected COUNT,SLUG; found {} parts", parts.len()));
        return (None, None);
    };
    let slug = checked_slug(slug, wrong);
    match count.parse::<i32>() {
        Ok(count) if count >= 1 => {
            if let Some(first) = counts.insert(count, line) {
                wrong.push(format!("the count {count} is in line {first} already"));
            }
            (slug, Some(condition(count)))
        }
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
            let most = i32::MAX;
            wrong.push(format!(
                "the count {} is above {most}, more than is counted",
                quoted(count)
            ));
            (slug, None)
        }
        _ => {
            wrong.push(format!("the count {} is not an integer of at least 1", quoted(count)));
            (slug, None)
        }
    }
}

fn group(parts: &[&str], wrong: &mut Vec<String>) -> (Option<String>, Option<Condition>) {
    let slug = checked_slug(parts[0], wrong);
    let keys = &parts[1..];
    if keys.is_empty() {
        wrong.push("expected SLUG,COURSE_KEY[,COURSE_KEY…]; found no course key".to_owned());
    }
    let mut seen = HashSet::new();
    let mut courses = Vec::with_capacity(keys.len());
    for key in keys {
        match key.parse::<CourseKey>() {
            Ok(course) if seen.insert(course.clone()) => courses.push(course),
            Ok(_) => {}
            Err(error) => wrong.push(format!("{}: {error}", quoted(key))),
        }
    }
    (slug, Some(Condition::Group(courses)))
}

fn checked_slug(slug: &str, wrong: &mut Vec<String>) -> Option<String> {
    let slug = slug.to_lowercase();
    match limits::check_slug(&slug) {
        Ok(()) => Some(slug),
        Err(error) => {
            wrong.push(format!("the slug {}: {error}", quoted(&slug)));
            None
        }
    }
}

fn unknown_slug(field: Field, line: usize, slug: &str) -> ConfigurationError {
    ConfigurationError {
        field,
        line,
        reason: format!(
            "there is no badge class {} with the issuing component openedx__course and without a course",
            quoted(slug)
        ),
    }
}

/// A part as an error shows it: not whole when it is long.
fn quoted(part: &str) -> String {
    match part.char_indices().nth(80) {
        Some((end, _)) => format!("\"{}…\"", part[..end].escape_debug()),
        None => format!("\"{}\"", part.escape_debug()),
    }
}

#[cfg(test)]
mod tests;
