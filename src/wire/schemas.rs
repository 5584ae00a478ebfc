//! What may stand in the fields of the interface, as JSON Schema: the same names in the descriptions of the HTTP API and
//! of the topics, with the limits that the readers check ([`crate::domain::limits`]).

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, SchemaFormat, Type,
        schema::{Schema, SchemaType},
    },
};

use super::badge_class::DATA_URI;
use crate::domain::{
    award::RuleKind,
    limits::{MAX_NAME, MAX_TEXT, MAX_URL},
};

/// A PNG of one pixel, as examples show it.
pub const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGMIBQAAVwBWP0MfTAAAAABJRU5ErkJggg==";

/// Any text without a NUL character.
const NO_NUL: &str = r"^[^\x00]*$";
/// The same with something in it that is no blank.
const NOT_BLANK: &str = r"^[^\x00]*[^\s\x00][^\x00]*$";

macro_rules! described {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)+) => {
        const FIELDS: &[(&str, fn() -> RefOr<Schema>)] = &[$((stringify!($name), <$name as PartialSchema>::schema)),+];
        $(
        $(#[doc = $doc])+
        #[derive(Debug)]
        pub struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let object: ObjectBuilder = $schema;
                object.description(Some(concat!($($doc),+).trim())).build().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

/// Every field that is described here, by name.
pub fn every() -> Vec<(String, RefOr<Schema>)> {
    FIELDS
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema()))
        .collect()
}

described! {
    /// Slug: lower-case letters, digits, `_` and `-`.
    Slug = text(MAX_NAME, "^[a-z0-9_-]+$", "enrolled_three");
    /// Slug; upper-case letters count as lower-case ones.
    SlugOfAnyCase = text(MAX_NAME, "^[A-Za-z0-9_-]+$", "hidden_room");
    /// The component that a badge class belongs to, as a slug; empty for none.
    IssuingComponent = text(MAX_NAME, "^[a-z0-9_-]*$", "openedx__course");
    /// The component that a badge class belongs to, as a slug; upper-case letters count as lower-case ones, empty for
    /// none.
    IssuingComponentOfAnyCase = text(MAX_NAME, "^[A-Za-z0-9_-]*$", "my_xblock");
    /// An Open edX course key: `course-v1:ORG+COURSE+RUN`, or the old `ORG/COURSE/RUN`.
    CourseKey = text(MAX_NAME, COURSE_KEY, "course-v1:edX+DemoX+2026");
    /// An Open edX course key, `course-v1:ORG+COURSE+RUN` or the old `ORG/COURSE/RUN`; letters of other scripts are
    /// taken too.
    GivenCourseKey = text(MAX_NAME, GIVEN_COURSE_KEY, "course-v1:edX+DemoX+2026");
    /// An Open edX course key, `course-v1:ORG+COURSE+RUN` or the old `ORG/COURSE/RUN`; empty for none.
    CourseKeyOrNone = text(MAX_NAME, COURSE_KEY_OR_NONE, "course-v1:edX+DemoX+2026");
    /// An Open edX course key, or `*` for any course.
    CourseKeyOrAny = text(MAX_NAME, COURSE_KEY_OR_ANY, "course-v1:edX+DemoX+2026");
    /// A user name of the platform; empty once the learner was retired.
    Username = text(MAX_NAME, NO_NUL, "ada");
    /// A user name of the platform.
    GivenUsername = text(MAX_NAME, r"^[^\x00]+$", "ada").min_length(Some(1));
    /// The platform's id of a user.
    UserId = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .examples([json!(42)]);
    /// What is looked for.
    Wanted = text(MAX_NAME, NO_NUL, "enrolled_three");
    /// How many items a page has.
    PageSize = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).examples([json!(10)]);
    /// A course mode, such as `verified`; empty where there is none.
    Mode = text(MAX_TEXT, NO_NUL, "verified");
    /// A course mode that has an image of its own, such as `verified`.
    GivenMode = text(MAX_NAME, NOT_BLANK, "audit");
    /// A course mode that has an image of its own, such as `verified`.
    ModeInPath = text(MAX_NAME, r"^[^\x00]+$", "verified").min_length(Some(1));
    /// Open edX's status of a certificate.
    CertificateStatus = string("downloadable");
    /// A certificate's uuid.
    CertificateUuid = text(MAX_TEXT, NO_NUL, "5f0c9a52-7c1e-4b8a-9a55-0c7b6a1d2e3f");
    /// An e-mail address.
    Address = text(MAX_TEXT, NO_NUL, "ada@example.com");
    /// A person's full name.
    FullName = text(MAX_TEXT, NO_NUL, "Ada Lovelace");
    /// A text of at most 64 KiB.
    Text = text(MAX_TEXT, NO_NUL, "Enrolled in three courses");
    /// A text of at most 64 KiB, not only of blanks.
    GivenText = text(MAX_TEXT, NOT_BLANK, "Enrolled in three courses");
    /// A name for people.
    DisplayName = text(MAX_TEXT, NO_NUL, "Enroll in Three Courses");
    /// A name for people, not only of blanks.
    GivenDisplayName = text(MAX_TEXT, NOT_BLANK, "Explorer");
    /// The name of a course; empty where it is not known.
    CourseName = text(MAX_TEXT, NO_NUL, "Demonstration");
    /// What a learner must do: a text, or a URL.
    Criteria = text(MAX_TEXT, NO_NUL, "Enroll in three courses");
    /// What a learner must do: a text, or a URL; not only blanks.
    GivenCriteria = text(MAX_TEXT, NOT_BLANK, "Find the hidden room");
    /// A URL.
    Url = string("https://badges.example.com/ob2/assertions/0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11").format(uri());
    /// The URL of an image.
    ImageUrl = string("https://badges.example.com/ob2/badges/5f0c9a52-1111-4c4c-8a8a-0242ac120002/image.png")
        .format(uri());
    /// An `http` or `https` URL; empty for none.
    WebUrl = text(MAX_URL, r"^$|^[Hh][Tt][Tt][Pp][Ss]?://[^\s\x00-\x1f\x7f-\x9f/?#:@][^\s\x00-\x1f\x7f-\x9f]*$",
        "https://lms.example.com/certificates/5f0c9a52");
    /// Tells several awards of one badge class to one learner apart; empty for the only one.
    IdempotencyKey = text(MAX_NAME, NO_NUL, "2026-week-47");
    /// A point in time (RFC 3339), in UTC.
    Time = string("2026-11-20T09:30:00Z").format(date_time());
    /// A day or a point in time (RFC 3339), such as `2026-11-01T12:00:00Z`; its year in UTC is between 1 and 9999.
    GivenTime = string("2026-09-01T00:00:00Z").format(date_time());
    /// The same of the last day.
    GivenEnd = string("2026-12-31T00:00:00Z").format(date_time());
    /// Why a badge does not hold any more; everybody who looks it up reads it.
    Why = text(MAX_TEXT, NOT_BLANK, "Issued in error");
    /// A square PNG of less than 250 KiB and at most 2,048 pixels a side, as a data URI.
    PngDataUri = string(&format!("{DATA_URI}{PNG}")).pattern(Some(format!("^{DATA_URI}")));
    /// A square PNG of less than 250 KiB and at most 2,048 pixels a side.
    PngFile = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
        .content_media_type("image/png");
    /// A switch of a form: `true` or `on`, `false`, or empty.
    FormSwitch = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["true", "on", "false", ""]));
    /// The id of a row.
    RowId = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(i32::MAX))
        .examples([json!(7)]);
    /// The id of a dead letter.
    DeadLetterId = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1))
        .examples([json!(3)]);
    /// Why a record could not be processed, as a stable short code.
    DeadLetterReason = text(MAX_NAME, NO_NUL, "schema");
    /// The name of a topic, with its prefix.
    TopicName = text(MAX_NAME, NO_NUL, "enrollment.created");
    /// Who did something: a username, or who ran a command.
    ActorName = text(MAX_NAME, NO_NUL, "root");
    /// What was changed: the id, key or name of it.
    AuditTarget = text(MAX_NAME, NO_NUL, "7");
    /// The id of an award.
    AwardUuid = string("1c2f0a7e-53cb-5d2e-8f39-6a8d0e2b7a44").format(uuid());
    /// The public id of an assertion.
    AssertionId = text(MAX_NAME, r"^[^\x00]+$", "0d9c4f1e-6f1b-4f0e-9d52-5b0f6d5f0c11").min_length(Some(1));
    /// The unguessable part of the address of public documents.
    PublicId = string("5f0c9a52-7c1e-4b8a-9a55-0c7b6a1d2e3f").max_length(Some(64)).pattern(Some("^[A-Za-z0-9-]+$"));
    /// Seconds.
    Wait = ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0))
        .maximum(Some(60))
        .examples([json!(5)]);
    /// What a rule counts.
    ConditionKind = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["courses_enrolled", "courses_completed", "course_group"]));
    /// Lines of `COUNT,SLUG`.
    CountLines = text(MAX_TEXT, NO_NUL, "3,enrolled_three\n5,enrolled_five");
    /// Lines of `SLUG,COURSE_KEY[,COURSE_KEY…]`.
    GroupLines = text(MAX_TEXT, NO_NUL, "prereq_cs,course-v1:edX+CS101+2026,course-v1:edX+CS102+2026");
    /// An Open Badges 2.0 document (JSON-LD).
    OpenBadge = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("@context", string("https://w3id.org/openbadges/v2"))
        .property("type", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["Assertion", "BadgeClass", "Issuer"])))
        .property("id", string("https://badges.example.com/ob2/issuer").format(uri()))
        .required("@context")
        .required("type")
        .required("id");
    /// Why a badge was awarded: the rule, or `backfill` with the rule beside it in `rule`.
    ReasonKind = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(RuleKind::ALL.map(RuleKind::as_str).into_iter().chain(["backfill"])));
    /// Whatever the backend said, without e-mail addresses.
    BackendData = ObjectBuilder::new().schema_type(SchemaType::AnyValue).examples([json!({})]);
}

const COURSE_KEY: &str = r"^(course-v1:[^\s+/]+\+[^\s+/]+\+[^\s+/]+|[^\s+/]+/[^\s+/]+/[^\s+/]+)$";
const GIVEN_COURSE_KEY: &str = r"^(course-v1:[A-Za-z0-9_.:~-]+\+[A-Za-z0-9_.:~-]+\+[A-Za-z0-9_.:~-]+|[A-Za-z0-9_.:~-]+/[A-Za-z0-9_.:~-]+/[A-Za-z0-9_.:~-]+)$";
const COURSE_KEY_OR_ANY: &str = r"^(\*|course-v1:[A-Za-z0-9_.:~-]+\+[A-Za-z0-9_.:~-]+\+[A-Za-z0-9_.:~-]+|[A-Za-z0-9_.:~-]+/[A-Za-z0-9_.:~-]+/[A-Za-z0-9_.:~-]+)$";
const COURSE_KEY_OR_NONE: &str = r"^(|course-v1:[A-Za-z0-9_.:~-]+\+[A-Za-z0-9_.:~-]+\+[A-Za-z0-9_.:~-]+|[A-Za-z0-9_.:~-]+/[A-Za-z0-9_.:~-]+/[A-Za-z0-9_.:~-]+)$";

fn string(example: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .examples([json!(example)])
}

fn text(max: usize, pattern: &str, example: &str) -> ObjectBuilder {
    string(example).max_length(Some(max)).pattern(Some(pattern))
}

fn uri() -> Option<SchemaFormat> {
    Some(SchemaFormat::Custom("uri".to_owned()))
}

fn uuid() -> Option<SchemaFormat> {
    Some(SchemaFormat::Custom("uuid".to_owned()))
}

fn date_time() -> Option<SchemaFormat> {
    Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))
}

/// The schema of a type and of all that it refers to, by their names, among others.
pub fn collect<T: ToSchema>(into: &mut Vec<(String, RefOr<Schema>)>) {
    into.push((T::name().into_owned(), T::schema()));
    T::schemas(into);
}

/// A reference to the schema of this type among the components.
pub fn reference<T: ToSchema>() -> Value {
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// An example of a schema: its own where it has one, else one made of the examples of its parts. `schemas` are the ones
/// that it may refer to, by name.
pub fn example(schema: &Value, schemas: &Map<String, Value>) -> Value {
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return example.clone();
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return schemas.get(name).map_or(Value::Null, |schema| example(schema, schemas));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts = parts.iter().map(|part| example(part, schemas));
        let members = parts.filter_map(|part| part.as_object().cloned()).flatten();
        return Value::Object(members.collect());
    }
    if let Some(choices) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        let choice = choices.iter().find(|choice| choice["type"] != "null");
        return choice.map_or(Value::Null, |choice| example(choice, schemas));
    }
    match kind(schema) {
        "object" => {
            let members = schema["properties"].as_object().into_iter().flatten();
            let members = members.map(|(name, member)| (name.clone(), example(member, schemas)));
            Value::Object(members.collect())
        }
        "array" => json!([example(&schema["items"], schemas)]),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "string" => json!("text"),
        _ => Value::Null,
    }
}

/// The type that a schema names; of several the first that is not `null`.
pub fn kind(schema: &Value) -> &str {
    let several = schema["type"].as_array().into_iter().flatten();
    let mut named = several.chain(Some(&schema["type"])).filter_map(Value::as_str);
    named.find(|name| *name != "null").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;
    use crate::domain::image::check_image;

    #[test]
    fn an_example_is_made_of_the_examples_of_the_parts() {
        let schemas = json!({"Name": {"type": "string", "examples": ["ada"]}});
        let schema = json!({"allOf": [
            {"type": "object", "properties": {
                "name": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Name"}]},
                "kind": {"enum": ["a", "b"]}, "numbers": {"type": ["array", "null"], "items": {"type": "integer"}}}},
            {"type": "object", "properties": {"on": {"type": "boolean"}}}]});
        let expected = json!({"name": "ada", "kind": "a", "numbers": [1], "on": true});
        let schemas = schemas.as_object().expect("an object");
        assert_eq!(example(&schema, schemas), expected);
    }

    #[test]
    fn the_image_of_the_examples_is_one() {
        let png = STANDARD.decode(PNG).expect("base64");
        assert_eq!(check_image(&png), Ok(()));
    }
}
