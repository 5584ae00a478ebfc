//! Independent records, one against the other: what was sent, the database, Badgr's ledger where it issues, the topics.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::database::Database;
use crate::harness::fake_badgr::FakeBadgr;
use crate::harness::topics::{Incoming, Topics};
use crate::harness::world::once_each;
use crate::lives::{Rules, Script};

/// A learner's id and a badge: a slug, or a course's key.
type Held = (String, String);

/// What contradicts what; empty if all is well.
pub fn violations(
    script: &Script,
    last: &Rules,
    database: &Database,
    badgr: Option<&FakeBadgr>,
    topics: &Topics,
) -> Vec<String> {
    let awarded = topics.awarded();
    let (mut found, announced) = announcements(&awarded);
    found.extend(order(&awarded));
    found.extend(facts(script, database));
    found.extend(awards(script, last, database, &announced));
    match badgr {
        Some(badgr) => found.extend(at_badgr(script, badgr, &announced)),
        None => found.extend(issued(database, &announced)),
    }
    found.extend(letters(script, database, topics));
    found
}

/// I2, I3: each badge of a learner under one id, with one assertion; returns the assertion of each.
fn announcements(records: &[Incoming]) -> (Vec<String>, BTreeMap<Held, String>) {
    let mut found = Vec::new();
    let mut known: BTreeMap<Held, (String, String)> = BTreeMap::new();
    for record in records {
        let body = record.json();
        let class = &body["badge_class"];
        let course = class["course_id"].as_str().unwrap_or_default();
        let slug = class["slug"].as_str().unwrap_or_default();
        let badge = if course.is_empty() { slug } else { course };
        let this = (
            record.header("ce_id").unwrap_or_default(),
            body["assertion"]["assertion_url"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
        let key = (record.key(), badge.to_owned());
        let first = known.entry(key.clone()).or_insert_with(|| this.clone());
        if *first != this {
            found.push(format!("{key:?} was announced as {first:?} and as {this:?}"));
        }
    }
    let assertions = known.into_iter().map(|(key, (_, url))| (key, url)).collect();
    (found, assertions)
}

/// I4: the first appearances of a learner's events follow the sequence, without a gap.
fn order(records: &[Incoming]) -> Vec<String> {
    let mut sequences: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in once_each(records) {
        let sequence = record.header("ce_sequence").and_then(|text| text.parse().ok());
        sequences
            .entry(record.key())
            .or_default()
            .push(sequence.unwrap_or_default());
    }
    let wrong = sequences
        .into_iter()
        .filter(|(_, sequence)| sequence.windows(2).any(|pair| pair[0] + 1 != pair[1]));
    wrong
        .map(|(learner, sequence)| format!("the events of {learner} came in the order {sequence:?}"))
        .collect()
}

/// I5: the facts are those of the newest events.
fn facts(script: &Script, database: &Database) -> Vec<String> {
    let sql = "SELECT learner_id || ' ' || enrolled || ' ' || completed AS line FROM learner";
    let in_database: BTreeSet<String> = database.lines(sql).into_iter().collect();
    let lives = script.lives.values();
    let expected: BTreeSet<String> = lives
        .map(|life| format!("{} {}", life.learner.id, life.counters()))
        .collect();
    let wrong = in_database.symmetric_difference(&expected);
    wrong
        .map(|line| format!("learner, enrolled, passed: {line}: sent and stored differ"))
        .collect()
}

/// I1: who qualifies has the award, nobody else; what has an address is announced, the rest waits for it.
fn awards(script: &Script, last: &Rules, database: &Database, announced: &BTreeMap<Held, String>) -> Vec<String> {
    let mut found = Vec::new();
    let sql = "SELECT a.learner_id || ' ' || a.state || coalesce(':' || a.state_reason, '') || ' ' || \
               CASE WHEN b.course_id = '' THEN b.slug ELSE b.course_id END AS line \
               FROM award a JOIN badge_class b ON b.id = a.badge_class_id";
    let mut stored: BTreeMap<Held, String> = BTreeMap::new();
    for line in database.lines(sql) {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        let (learner, state, badge) = (parts.next(), parts.next(), parts.next());
        let key = (learner.unwrap_or_default(), badge.unwrap_or_default());
        if let Some(other) = stored.insert(key.clone(), state.unwrap_or_default()) {
            found.push(format!("{key:?} was decided twice, once {other}"));
        }
    }
    for life in script.lives.values() {
        let learner = life.learner.id.to_string();
        let mine = stored
            .range((learner.clone(), String::new())..)
            .take_while(|(key, _)| key.0 == learner);
        let mine: BTreeMap<&str, &str> = mine
            .map(|((_, badge), state)| (badge.as_str(), state.as_str()))
            .collect();
        let (demanded, possible) = (life.demanded(last), life.possible());
        let lacks = demanded.iter().filter(|badge| !mine.contains_key(badge.as_str()));
        found.extend(lacks.map(|badge| format!("{learner} qualifies for {badge} and has no award")));
        let surplus = mine.keys().filter(|badge| !possible.contains(**badge));
        found.extend(surplus.map(|badge| format!("{learner} never qualified for {badge}")));
        let expected = if life.has_address {
            "published"
        } else {
            "blocked:no_email"
        };
        for (badge, state) in mine {
            let is_announced = announced.contains_key(&(learner.clone(), badge.to_owned()));
            if !state.starts_with(expected) || is_announced != life.has_address {
                found.push(format!("{learner}'s {badge} is {state}, announced: {is_announced}"));
            }
        }
    }
    let unknown = announced.keys().filter(|key| !stored.contains_key(*key));
    found.extend(unknown.map(|key| format!("{key:?} was announced and is not stored")));
    found
}

/// I3: Badgr holds each announced assertion, and no other.
fn at_badgr(script: &Script, badgr: &FakeBadgr, announced: &BTreeMap<Held, String>) -> Vec<String> {
    let classes = badgr.badge_classes();
    let names: BTreeSet<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    let mut found = Vec::new();
    if names.len() != classes.len() {
        found.push(format!("{} badge classes of {} names", classes.len(), names.len()));
    }
    let mut live: BTreeMap<String, String> = BTreeMap::new();
    for assertion in badgr
        .assertions()
        .into_iter()
        .filter(|assertion| assertion.revoked.is_none())
    {
        live.insert(assertion.entity_id, assertion.email);
    }
    for ((learner, badge), url) in announced {
        let id = url.rsplit('/').next().unwrap_or_default();
        let life = learner.parse().ok().and_then(|id: i64| script.lives.get(&id));
        let email = life.and_then(|life| life.learner.email.clone());
        match live.remove(id) {
            Some(holder) if Some(&holder) == email.as_ref() => {}
            other => found.push(format!("{learner}'s {badge} is {url}, which Badgr holds for {other:?}")),
        }
    }
    found.extend(
        live.iter()
            .map(|(id, email)| format!("Badgr holds {id} of {email}, which nobody announced")),
    );
    found
}

/// I3, with the built-in issuer: the assertions that are stored are those that were announced.
fn issued(database: &Database, announced: &BTreeMap<Held, String>) -> Vec<String> {
    let sql = "SELECT a.learner_id || ' ' || a.assertion_url || ' ' || \
               CASE WHEN b.course_id = '' THEN b.slug ELSE b.course_id END AS line \
               FROM assertion a JOIN badge_class b ON b.id = a.badge_class_id WHERE a.revoked_at IS NULL";
    let stored: BTreeSet<String> = database.lines(sql).into_iter().collect();
    let expected: BTreeSet<String> = announced
        .iter()
        .map(|((learner, badge), url)| format!("{learner} {url} {badge}"))
        .collect();
    let wrong = stored.symmetric_difference(&expected);
    wrong
        .map(|line| format!("learner, assertion, badge: {line}: stored and announced differ"))
        .collect()
}

/// What is no event was set aside, each record once, and passed on.
fn letters(script: &Script, database: &Database, topics: &Topics) -> Vec<String> {
    let sql = "SELECT DISTINCT topic || ' ' || record_partition || ' ' || record_offset || ' ' || reason AS line \
               FROM dead_letter";
    let stored = database.lines(sql);
    let passed_on = topics.read("badges.dead-letters").into_iter().map(|letter| letter.body);
    let passed_on: BTreeSet<Vec<u8>> = passed_on.collect();
    let mut found = Vec::new();
    let poisoned = poisoned(script, topics);
    if stored.len() != poisoned {
        found.push(format!(
            "{poisoned} poisoned records, {} dead letters: {stored:?}",
            stored.len()
        ));
    }
    if passed_on != script.poison {
        found.push(format!(
            "{} kinds of poison, {} passed on",
            script.poison.len(),
            passed_on.len()
        ));
    }
    found
}

/// How many records on the broker are poison: a producer that heard nothing, because the broker was killed, sends again
/// what the broker has.
pub fn poisoned(script: &Script, topics: &Topics) -> usize {
    let read = |topic| topics.read(topic).into_iter();
    let records = read("enrollment.created").chain(read("certificate.generated"));
    records.filter(|record| script.poison.contains(&record.body)).count()
}
