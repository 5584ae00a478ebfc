//! SIGTERM and SIGINT.

use tokio::signal::unix::{SignalKind, signal};

/// Ends with the first SIGTERM or SIGINT. From then on a second one ends the process at once, with the exit code that a
/// shell gives to that signal.
pub async fn termination() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping; a second signal ends at once"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping; a second signal ends at once"),
    }
    tokio::spawn(async move {
        let code = tokio::select! {
            _ = terminate.recv() => 143,
            _ = interrupt.recv() => 130,
        };
        std::process::exit(code);
    });
    Ok(())
}
