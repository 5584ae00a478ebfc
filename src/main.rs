//! The `accolade` command.

use std::process::ExitCode;

use accolade::cli::Cli;

fn main() -> ExitCode {
    match Cli::from_arguments().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}
