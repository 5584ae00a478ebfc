use super::*;
use crate::{
    domain::{badge_class::NewBadgeClass, evaluate::Condition},
    store::{badge_classes, testing},
};

fn texts(enrolled: &str) -> ConfigurationTexts {
    ConfigurationTexts {
        courses_enrolled: enrolled.to_owned(),
        ..ConfigurationTexts::default()
    }
}

fn new(enrolled: &str, enabled: bool) -> NewConfiguration {
    NewConfiguration {
        texts: texts(enrolled),
        enabled,
        changed_by: "root".to_owned(),
    }
}

fn make_badge_class(tx: &mut Tx<'_>, slug: &str, course_id: &str) -> Result<(), StoreError> {
    let new = NewBadgeClass {
        key: BadgeClassKey {
            slug: slug.to_owned(),
            issuing_component: COURSE_EVENTS_COMPONENT.to_owned(),
            course_id: course_id.to_owned(),
        },
        mode: String::new(),
        display_name: slug.to_owned(),
        description: String::new(),
        criteria: String::new(),
        image: vec![1],
    };
    badge_classes::get_or_create(tx, &new).map(drop)
}

#[test]
fn the_one_activated_last_is_the_active_one() {
    for database in testing::databases() {
        let run = |tx: &mut Tx<'_>| {
            assert_eq!(active(tx)?, None);
            let off = insert(tx, &new("", false))?;
            assert_eq!(active(tx)?, None);
            let first = insert(tx, &new("1,a", true))?;
            let second = insert(tx, &new("2,a", true))?;
            let found = active(tx)?.expect("one is active");
            assert_eq!((found.id, found.changed_by.as_str()), (second, "root"));
            assert_eq!(found.texts, texts("2,a"));
            let enabled = |tx: &mut Tx<'_>| -> Result<Vec<(i32, bool)>, StoreError> {
                Ok(list(tx)?.into_iter().map(|c| (c.id, c.enabled)).collect())
            };
            assert_eq!(enabled(tx)?, [(second, true), (first, false), (off, false)]);
            activate(tx, first)?;
            assert_eq!(enabled(tx)?, [(second, false), (first, true), (off, false)]);
            assert!(get(tx, first)?.is_some_and(|found| found.activated_at.is_some()));
            assert!(activate(tx, 1000).is_err_and(|error| error.is_not_found()));
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

#[test]
fn rules_are_those_of_the_active_configuration_whatever_was_cached() {
    for database in testing::databases() {
        let cache = RulesCache::default();
        let run = |tx: &mut Tx<'_>| {
            assert_eq!(active_rules(tx, &cache)?, None);
            make_badge_class(tx, "a", "")?;
            make_badge_class(tx, "elsewhere", "edX/A/1")?;
            let conditions = |tx: &mut Tx<'_>| -> Result<Vec<Condition>, StoreError> {
                let rules = active_rules(tx, &cache)?.expect("one is active");
                Ok(rules.rules.iter().map(|rule| rule.condition.clone()).collect())
            };
            insert(tx, &new("1,A\n2,nobody\n3,elsewhere", true))?;
            assert_eq!(conditions(tx)?, [Condition::Enrolled(1)]);
            make_badge_class(tx, "nobody", "")?;
            assert_eq!(conditions(tx)?, [Condition::Enrolled(1), Condition::Enrolled(2)]);
            insert(tx, &new("4,a", true))?;
            assert_eq!(conditions(tx)?, [Condition::Enrolled(4)]);
            let cached = active_rules(tx, &cache)?.expect("one is active");
            assert!(Arc::ptr_eq(&cached, &active_rules(tx, &cache)?.expect("one is active")));
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

#[test]
fn a_check_names_slugs_that_are_no_badge_class() {
    for database in testing::databases() {
        let run = |tx: &mut Tx<'_>| {
            make_badge_class(tx, "a", "")?;
            assert!(check(tx, &texts("1,a"))?.is_ok());
            let errors = check(tx, &texts("1,a\n2,b"))?.expect_err("an error");
            assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2]);
            Ok(())
        };
        database.store().transaction("test", run).expect("committed");
    }
}

#[test]
fn an_activation_waits_for_those_who_decide_by_the_one_before() {
    #[derive(diesel::QueryableByName)]
    struct Free {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        free: bool,
    }
    let Some(database) = testing::postgres() else {
        return;
    };
    let store = database.store();
    let is_free = |lock: &str| {
        let sql = format!("SELECT pg_try_advisory_xact_lock{lock}({FENCE}) AS free");
        let ask = |tx: &mut Tx<'_>| Ok(diesel::sql_query(&sql).get_result::<Free>(tx.conn)?.free);
        store.transaction("ask", ask).expect("answered")
    };
    let while_held = |fence: fn(&mut Tx<'_>) -> Result<(), StoreError>| {
        let hold = |tx: &mut Tx<'_>| {
            fence(tx)?;
            Ok((is_free("_shared"), is_free("")))
        };
        store.transaction("hold", hold).expect("committed")
    };
    assert_eq!(while_held(|_| Ok(())), (true, true));
    assert_eq!(while_held(fence_shared), (true, false));
    assert_eq!(while_held(fence_exclusive), (false, false));
    assert_eq!(while_held(|tx| insert(tx, &new("", true)).map(drop)), (false, false));
    assert_eq!(while_held(|tx| insert(tx, &new("", false)).map(drop)), (true, true));
}
