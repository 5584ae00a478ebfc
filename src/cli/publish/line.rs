//! One line of `accolade publish`: an event on its way to its topic.

use crate::{
    config::Topics,
    wire::{outgoing_event::OutgoingEvent, record::OutgoingRecord},
};

/// The record for the line of this number (from 1), or what is wrong with it, with its number; `None` for a blank one.
///
/// Its topic follows from its type: certificates go to the first topic of certificates, all else to the first one of
/// enrolments.
pub(in crate::cli) fn record(number: usize, line: &[u8], topics: &Topics) -> Result<Option<OutgoingRecord>, String> {
    let text = str::from_utf8(line).map_err(|_| format!("line {number}: not UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let event = OutgoingEvent::read(number, text).map_err(|error| error.to_string())?;
    let lists = match event.event_type.starts_with("certificate.") {
        true => [&topics.certificate, &topics.enrollment],
        false => [&topics.enrollment, &topics.certificate],
    };
    let topic = lists.into_iter().chain([&topics.extra]).flatten().next();
    let topic = topic.ok_or_else(|| format!("line {number}: no topic is set; set TOPICS_ENROLLMENT"))?;
    Ok(Some(event.into_record(topic)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Topics with a prefix.
    pub(in crate::cli::publish) fn topics() -> Topics {
        let list = |name: &str| vec![format!("lms-{name}"), format!("lms-{name}.old")];
        Topics {
            enrollment: list("enrollment.created"),
            certificate: list("certificate.generated"),
            extra: Vec::new(),
            badge_awarded: "lms-badge.awarded".to_owned(),
            badge_revoked: "lms-badge.revoked".to_owned(),
            dead_letters: "lms-badges.dead-letters".to_owned(),
            create: true,
            partitions: 1,
        }
    }

    #[test]
    fn an_event_goes_to_the_first_topic_of_its_type_under_its_learners_id() {
        for (kind, topic) in [
            ("enrollment.deactivated", "lms-enrollment.created"),
            ("certificate.revoked", "lms-certificate.generated"),
            ("learner.updated", "lms-enrollment.created"),
        ] {
            let line = format!(r#"{{"type": "{kind}", "data": {{"user": {{"id": 42}}}}}}"#);
            let record = record(1, line.as_bytes(), &topics())
                .expect(kind)
                .expect("no blank line");
            assert_eq!(record.topic, topic, "{kind}");
            assert_eq!(record.key.as_deref(), Some("42".as_bytes()), "{kind}");
            assert_eq!(record.value, Some(line.into_bytes()));
        }
    }

    #[test]
    fn blank_lines_are_passed_over_and_wrong_ones_named() {
        assert_eq!(record(1, b" \r", &topics()), Ok(None));
        assert!(record(7, b"{", &topics()).expect_err("wrong").starts_with("line 7: "));
        assert!(
            record(8, b"\xff", &topics())
                .expect_err("wrong")
                .starts_with("line 8: ")
        );
    }
}
