//! `accolade event-badges`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::{
    CliError, context,
    output::{print, print_json},
};
use crate::{
    config::Settings,
    domain::event_badges::ConfigurationTexts,
    store::event_badges,
};
