//! The people who run the service: they activate configurations, and help where only a person may.

use std::rc::Rc;

use super::{
    badgr::SETTLE,
    database::Configuration,
    plan::Defect,
    schedule::{OUTSIDE, Process},
};
use crate::domain::award::AwardState;

/// Activates configurations when their time has come.
pub(super) async fn activate(process: Process) {
    let activations = process.with(|world| world.plan.activations.clone());
    for (at, rules) in activations {
        process.sleep_until(at).await;
        process.with(|world| world.database.fence_wanted = !world.has(Defect::NoFence));
        // Whoever decides by the configuration before is waited for.
        let is_free = |world: &mut super::world::World| {
            let now = world.now;
            world.database.end_idle(now);
            world.database.fence.is_empty() || world.has(Defect::NoFence)
        };
        while !process.with(is_free) {
            process.takes(1, 60).await;
        }
        process.with(|world| {
            let rules = Rc::clone(&world.catalogue.rules[rules]);
            world.say(OUTSIDE, || {
                format!(
                    "configuration {} is active: {:?}",
                    rules.configuration_id,
                    conditions(&rules)
                )
            });
            world.database.configurations.push(Configuration {
                rules,
                cursor: 0,
                done: false,
                until: 0,
                token: 0,
            });
            world.database.fence_wanted = false;
            world.touched = true;
        });
    }
}

fn conditions(rules: &crate::domain::evaluate::Rules) -> Vec<String> {
    let rule = |rule: &crate::domain::evaluate::Rule| format!("badge {}: {:?}", rule.badge_class.0, rule.condition);
    rules.rules.iter().map(rule).collect()
}

/// Looks now and then for what waits for a person: a stop before a flood; once the faults are over, events that were set
/// aside and awards that failed.
pub(super) async fn help(process: Process) {
    loop {
        let pause = process.with(|world| world.chance.between(10_000, 60_000));
        process.sleep(pause).await;
        process.with(|world| {
            let now = world.now;
            if std::mem::take(&mut world.database.paused) {
                world.database.resumed += 1;
                world.say(OUTSIDE, || "a person lets the flood pass".to_owned());
            }
            if world.is_faulty() {
                return;
            }
            for row in &mut world.database.outbox {
                row.parked = false;
            }
            let given_up =
                |award: &super::database::Award| matches!(award.state, AwardState::Failed | AwardState::Dead);
            world.database.resume(now, SETTLE, usize::MAX, given_up);
            world.touched = true;
        });
    }
}
