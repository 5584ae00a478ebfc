//! Runs the loops together: a loop that ends early or panics ends them all.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, anyhow};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Named tasks that end when told so, and not before.
#[derive(Default)]
pub(super) struct Supervisor {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    names: Vec<(tokio::task::Id, &'static str)>,
}

impl Supervisor {
    /// Runs a loop.
    pub(super) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(async move { (name, task.await) });
        self.names.push((handle.id(), name));
    }

    /// Runs a loop that blocks, on a thread of its own.
    pub(super) fn spawn_thread(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || drop(done.send(work())))
            .with_context(|| format!("cannot start the thread of {name}"))?;
        // The sender is dropped without a word when the thread panics.
        self.spawn(name, async move {
            outcome.await.unwrap_or_else(|_| Err(anyhow!("panicked")))
        });
        Ok(())
    }

    /// Waits for the first loop that ends: too early, by definition.
    pub(super) async fn first_end(&mut self) -> anyhow::Error {
        match self.tasks.join_next_with_id().await {
            Some(Ok((_, (name, Ok(()))))) => anyhow!("{name} ended early"),
            Some(Ok((_, (name, Err(error))))) => error.context(format!("{name} failed")),
            Some(Err(error)) => anyhow!("{} panicked", self.name(error.id())),
            None => std::future::pending().await,
        }
    }

    /// Tells the loops to stop and waits for them, at most this long. Says what failed or did not end.
    pub(super) async fn stop(&mut self, stop: &CancellationToken, deadline: Duration) -> anyhow::Result<()> {
        stop.cancel();
        let mut failed = Vec::new();
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                match ended {
                    Ok((id, (name, outcome))) => {
                        self.names.retain(|(other, _)| *other != id);
                        if let Err(error) = outcome {
                            failed.push(format!("{name}: {error:#}"));
                        }
                    }
                    Err(error) => failed.push(format!("{} panicked", self.name(error.id()))),
                }
            }
        };
        if tokio::time::timeout(deadline, all).await.is_err() {
            let left: Vec<&str> = self.names.iter().map(|(_, name)| *name).collect();
            failed.push(format!(
                "did not end within {} s: {}",
                deadline.as_secs(),
                left.join(", ")
            ));
            self.tasks.abort_all();
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(anyhow!(failed.join("; ")))
        }
    }

    fn name(&self, id: tokio::task::Id) -> &'static str {
        self.names
            .iter()
            .find(|(other, _)| *other == id)
            .map_or("a task", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_ends_or_panics_is_named() {
        let mut supervisor = Supervisor::default();
        supervisor.spawn("one", async { Ok(()) });
        assert_eq!(supervisor.first_end().await.to_string(), "one ended early");
        supervisor.spawn("two", async { panic!("planted") });
        assert_eq!(supervisor.first_end().await.to_string(), "two panicked");
        supervisor
            .spawn_thread("three", || panic!("planted"))
            .expect("a thread");
        assert_eq!(format!("{:#}", supervisor.first_end().await), "three failed: panicked");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_stop_is_named_after_the_deadline() {
        let mut supervisor = Supervisor::default();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        supervisor.spawn("obedient", async move {
            stopped.cancelled().await;
            Ok(())
        });
        supervisor.spawn("stubborn", std::future::pending());
        let error = supervisor
            .stop(&stop, Duration::from_secs(5))
            .await
            .expect_err("one is left");
        assert_eq!(error.to_string(), "did not end within 5 s: stubborn");
    }
}
