//! SIGTERM and SIGINT.

use tokio::signal::unix::{SignalKind, signal};

/// Ends with the first SIGTERM or SIGINT. From then on a second one ends the process at once, with the exit code that a
/// shell gives to that signal, after `last`: what is still to be done then, at once.
pub async fn termination(last: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping; a second signal ends at once"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping; a second signal ends at once"),
    }
    tokio::spawn(async move {
        let (name, code) = tokio::select! {
            _ = terminate.recv() => ("SIGTERM", 143),
            _ = interrupt.recv() => ("SIGINT", 130),
        };
        tracing::warn!("{name} again: ended at once");
        last();
        std::process::exit(code);
    });
    Ok(())
}
