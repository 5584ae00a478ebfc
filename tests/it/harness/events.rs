//! Events as the platform sends them, in the three shapes that are understood.

use serde_json::{Value, json};

/// A learner as events carry one.
#[derive(Clone, Debug)]
pub struct Learner {
    /// The platform's user id.
    pub id: i64,
    /// `learner` and the id.
    pub username: String,
    /// The same at example.com, unless taken away.
    pub email: Option<String>,
    /// The full name.
    pub name: String,
}

impl Learner {
    /// A learner whose texts all follow from the id.
    pub fn new(id: i64) -> Self {
        Self {
            id,
            username: format!("learner{id}"),
            email: Some(format!("learner{id}@example.com")),
            name: format!("Learner {id}"),
        }
    }

    /// The same without an e-mail address.
    pub fn without_email(mut self) -> Self {
        self.email = None;
        self
    }

    fn json(&self) -> Value {
        let mut user = json!({"id": self.id, "username": self.username, "name": self.name});
        if let Some(email) = &self.email {
            user["email"] = json!(email);
        }
        user
    }
}

/// The key of the n-th course.
pub fn course(number: u32) -> String {
    format!("course-v1:edX+Course{number}+2026")
}

/// A record as it goes to Kafka.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The value.
    pub body: Vec<u8>,
}

/// An event before it is encoded.
#[derive(Clone, Debug)]
pub struct Event {
    kind: &'static str,
    id: String,
    time: String,
    data: Value,
}

impl Event {
    /// The learner enrols, in mode `verified`.
    pub fn enrollment_created(learner: &Learner, course: &str) -> Self {
        let data =
            json!({"user": learner.json(), "course": course_json(course), "mode": "verified", "is_active": true});
        Self::new("enrollment.created", data)
    }

    /// The learner leaves the course.
    pub fn enrollment_deactivated(learner: &Learner, course: &str) -> Self {
        let data =
            json!({"user": learner.json(), "course": course_json(course), "mode": "verified", "is_active": false});
        Self::new("enrollment.deactivated", data)
    }

    /// The learner has passed, in mode `verified`, status `downloadable`, with a certificate to see.
    pub fn certificate_generated(learner: &Learner, course: &str) -> Self {
        let uuid = uuid::Uuid::new_v4().simple().to_string();
        let url = format!("https://lms.example.com/certificates/{uuid}");
        let data = json!({
            "user": learner.json(), "course": course_json(course), "mode": "verified",
            "status": "downloadable", "uuid": uuid, "url": url,
        });
        Self::new("certificate.generated", data)
    }

    /// The certificate holds no more.
    pub fn certificate_revoked(learner: &Learner, course: &str) -> Self {
        let data = json!({
            "user": learner.json(), "course": course_json(course), "mode": "verified", "status": "unavailable",
        });
        Self::new("certificate.revoked", data)
    }

    /// The course's own switch is turned.
    pub fn course_updated(course: &str, issue_badges: bool) -> Self {
        let mut course = course_json(course);
        course["issue_badges"] = json!(issue_badges);
        Self::new("course.updated", json!({"course": course}))
    }

    /// The learner's texts are these now.
    pub fn learner_updated(learner: &Learner) -> Self {
        Self::new("learner.updated", json!({"user": learner.json()}))
    }

    /// The learner is to be forgotten.
    pub fn learner_retired(learner: &Learner) -> Self {
        Self::new("learner.retired", json!({"user": learner.json()}))
    }

    /// Some component wants the learner to have a badge; an empty course id is none.
    pub fn badge_requested(learner: &Learner, slug: &str, issuing_component: &str, course_id: &str) -> Self {
        let data = json!({
            "user": learner.json(),
            "badge_class": {"slug": slug, "issuing_component": issuing_component, "course_id": course_id},
        });
        Self::new("badge.requested", data)
    }

    fn new(kind: &'static str, data: Value) -> Self {
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        Self {
            kind,
            id: uuid::Uuid::new_v4().to_string(),
            time,
            data,
        }
    }

    /// Another CloudEvents id.
    pub fn id(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    /// Another time, RFC 3339.
    pub fn at(mut self, time: &str) -> Self {
        self.time = time.to_owned();
        self
    }

    /// Sets what a JSON pointer's parent holds: `.with("/course/display_name", json!("Logic"))`;
    /// null takes it away.
    pub fn with(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a JSON pointer begins with a slash");
        let parent = self.data.pointer_mut(parent).expect("the parent is there");
        let parent = parent.as_object_mut().expect("the parent is an object");
        if value.is_null() {
            parent.remove(name);
        } else {
            parent.insert(name.to_owned(), value);
        }
        self
    }

    /// The CloudEvents type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The topic it belongs to, without a prefix; kinds without a topic of their own go to the enrolments'.
    pub fn topic(&self) -> &'static str {
        if self.kind.starts_with("certificate.") {
            "certificate.generated"
        } else {
            "enrollment.created"
        }
    }

    /// The record's key: the user id, else the course.
    pub fn key(&self) -> String {
        self.data["user"]["id"].as_i64().map_or_else(
            || self.data["course"]["id"].as_str().unwrap_or_default().to_owned(),
            |id| id.to_string(),
        )
    }

    /// The data alone, as a value.
    pub fn data(&self) -> &Value {
        &self.data
    }

    /// The whole event, as a value.
    pub fn json(&self) -> Value {
        json!({
            "specversion": "1.0", "id": self.id, "source": "/openedx/lms", "type": self.kind, "time": self.time,
            "datacontenttype": "application/json", "data": self.data,
        })
    }

    /// CloudEvents, structured.
    pub fn structured(&self) -> Encoded {
        let content_type = "application/cloudevents+json; charset=UTF-8";
        Encoded {
            headers: headers([("content-type", content_type)]),
            body: self.json().to_string().into(),
        }
    }

    /// CloudEvents, binary: the attributes in headers, the data as the value.
    pub fn binary(&self) -> Encoded {
        let headers = headers([
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", &self.id),
            ("ce_source", "/openedx/lms"),
            ("ce_type", self.kind),
            ("ce_time", &self.time),
        ]);
        Encoded {
            headers,
            body: self.data.to_string().into(),
        }
    }

    /// The data and nothing else; what it is follows from the topic.
    pub fn bare(&self) -> Encoded {
        Encoded {
            headers: Vec::new(),
            body: self.data.to_string().into(),
        }
    }
}

fn course_json(key: &str) -> Value {
    json!({"id": key, "display_name": format!("About {key}"), "start": "2026-09-01T00:00:00Z", "end": null})
}

fn headers<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
