//! `accolade openapi`, `accolade asyncapi`

use clap::Args;

use super::{CliError, output::print_json};
use crate::{http::openapi, wire::asyncapi};

/// Print the OpenAPI 3.1 document of the HTTP API
///
/// The running service answers the same at /api/openapi.json, and as a page at /api/docs. Needs no settings, no database
/// and no Kafka.
///
/// accolade openapi > openapi.json
#[derive(Debug, Args)]
pub(super) struct OpenApi {}

/// Print the AsyncAPI 3.0 document of the topics, with a JSON Schema for each event in and out
///
/// The running service answers the same at /api/asyncapi.json, and as a page at /api/docs. Needs no settings, no
/// database and no Kafka.
///
/// accolade asyncapi > asyncapi.json
#[derive(Debug, Args)]
pub(super) struct AsyncApi {}

pub(super) fn http(_: &OpenApi) -> Result<(), CliError> {
    print_json(&openapi::document("/"))
}

pub(super) fn topics(_: &AsyncApi) -> Result<(), CliError> {
    print_json(&asyncapi::document())
}
