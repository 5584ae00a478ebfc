//! Measurements: the program as its own process on real Kafka and PostgreSQL, everything on this machine. `README.md` says
//! how to run them and how to read what they say.

#[path = "../it/harness/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod harness;

mod api;
mod awards;
mod backfill;
mod badgr;
mod bloat;
mod floor;
mod growth;
mod ingest;
mod latency;
mod load;
mod memory;
mod python;
mod seed;
mod shapes;
mod start;
mod support;
mod usage;

/// A wrong outcome panics; an error says that there was nothing to measure.
type Run = fn() -> anyhow::Result<()>;

/// Each measurement by its name.
const ALL: [(&str, Run); 12] = [
    ("ingest", ingest::run),
    ("shapes", shapes::run),
    ("python", python::run),
    ("awards", awards::run),
    ("badgr", badgr::run),
    ("latency", || {
        latency::run();
        Ok(())
    }),
    ("backfill", || {
        backfill::run();
        Ok(())
    }),
    ("growth", growth::run),
    ("api", api::run),
    ("memory", memory::run),
    ("start", start::run),
    (LONG, bloat::run),
];

/// Only by its name: it takes an hour.
const LONG: &str = "bloat";

fn main() {
    // Cargo's own words, such as `--bench`, are not for us.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let names = ALL.map(|(name, _)| name);
    if let Some(unknown) = wanted.iter().find(|word| !names.contains(&word.as_str())) {
        eprintln!("there is no measurement {unknown}; there are {}", names.join(", "));
        std::process::exit(2);
    }
    println!("program: {}", harness::binary::program());
    harness::postgres::Postgres::share_under_load();
    for (name, run) in ALL {
        if wanted.iter().any(|word| word == name) || (wanted.is_empty() && name != LONG) {
            println!("\n== {name}");
            if let Err(error) = run() {
                eprintln!("{name}: {error:#}");
                std::process::exit(1);
            }
        }
    }
}
