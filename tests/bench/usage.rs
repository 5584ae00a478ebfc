//! What processes take, as `/proc` tells it.

use std::fs;

use crate::harness::postgres::Postgres;

/// Of `/proc/PID/stat`, on every Linux.
const TICKS_A_SECOND: f64 = 100.0;

/// Memory in KiB.
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// The same, with a share only of what others have mapped, too.
    pub pss: u64,
    /// What no file stands behind.
    pub anonymous: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
        let number = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"));
            line.and_then(|line| line.trim().parse().ok()).expect("a number of kB")
        };
        Self {
            rss: number("Rss:"),
            pss: number("Pss:"),
            anonymous: number("Anonymous:"),
        }
    }
}

/// Seconds of processors that a process has used.
pub fn cpu(pid: u32) -> f64 {
    own(&stat(pid).expect("it runs"))
}

/// The same for the shared PostgreSQL and all its processes, also those that have ended.
pub fn postgres_cpu() -> f64 {
    let postmaster = Postgres::shared().pid();
    let stats = fs::read_dir("/proc").expect("there is /proc").flatten();
    let stats = stats.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?));
    let living: f64 = stats
        .filter(|stat| stat[PARENT] == f64::from(postmaster))
        .map(|stat| own(&stat))
        .sum();
    let stat = stat(postmaster).expect("it runs");
    living + own(&stat) + (stat[CHILDREN] + stat[CHILDREN + 1]) / TICKS_A_SECOND
}

/// Positions in [`stat`].
const PARENT: usize = 0;
const OWN: usize = 10;
const CHILDREN: usize = 12;

fn own(stat: &[f64]) -> f64 {
    (stat[OWN] + stat[OWN + 1]) / TICKS_A_SECOND
}

/// The numbers behind the state; nothing if there is no such process any more.
fn stat(pid: u32) -> Option<Vec<f64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, numbers) = text.rsplit_once(')')?;
    numbers
        .split_whitespace()
        .skip(1)
        .map(|number| number.parse().ok())
        .collect()
}
