//! A process of the service: its tasks.

use super::{backfilling, ingesting, issuing::Issuing, relaying, schedule::Process};

/// Starts this process, anew if it died.
pub(super) fn start(outside: &Process, replica: usize) {
    let process = Process {
        world: outside.world.clone(),
        replica,
    };
    process.with(|world| {
        world.say(replica, || "starts".to_owned());
        let state = &mut world.replicas[replica];
        state.up = true;
        state.life += 1;
        world.touched = true;
    });
    let issuing = Issuing::new(&process);
    process.spawn(ingesting::consume(process.clone()));
    process.spawn(issuing.clone().claim_awards());
    process.spawn(issuing.probe());
    process.spawn(relaying::relay(process.clone()));
    process.spawn(relaying::relay_handed(process.clone()));
    process.spawn(relaying::mark_handed(process.clone()));
    process.spawn(backfilling::backfill(process.clone()));
}
