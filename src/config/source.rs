//! Where settings come from: a TOML file and the environment, which wins.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::names::{NAMES, is_kafka_property, kafka_setting};

/// One thing that is wrong with the settings. Never quotes a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    place: Place,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(place: Place, problem: impl Into<String>) -> Self {
        Self {
            place,
            problem: problem.into(),
        }
    }

    pub(super) fn of_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::new(
            Place::File {
                path: path.to_owned(),
                line: None,
                name: None,
            },
            problem,
        )
    }
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File {
        path: PathBuf,
        line: Option<usize>,
        name: Option<String>,
    },
    Environment {
        variable: String,
    },
    Nowhere {
        name: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, name } => {
                write!(f, "{}", path.display())?;
                if let Some(line) = line {
                    write!(f, " line {line}")?;
                }
                name.as_ref().map_or(Ok(()), |name| write!(f, ": {name}"))
            }
            Self::Environment { variable } => write!(f, "environment: {variable}"),
            Self::Nowhere { name } => f.write_str(name),
        }
    }
}

/// A value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// From the environment: any type, as text.
    Untyped(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML boolean.
    Bool(bool),
}

/// All values by name, with their places.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) values: BTreeMap<String, (Raw, Place)>,
    /// The files that variables ending in `_FILE` name, by the setting whose value they hold.
    pub(super) files: BTreeMap<String, PathBuf>,
}

impl Source {
    /// Reads the file, if there is one, and lays the environment over it.
    pub(super) fn read(
        file: Option<&Path>,
        environment: &HashMap<String, String>,
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut source = Self::default();
        if let Some(path) = file {
            source.read_file(path, errors);
        }
        source.read_environment(environment, errors);
        source
    }

    fn read_file(&mut self, path: &Path, errors: &mut Vec<ConfigError>) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return errors.push(ConfigError::of_file(path, format!("cannot be read: {error}"))),
        };
        self.parse(path, &text, errors);
    }

    pub(super) fn parse(&mut self, path: &Path, text: &str, errors: &mut Vec<ConfigError>) {
        let line_of = |offset: usize| {
            text.as_bytes()
                .iter()
                .take(offset)
                .filter(|byte| **byte == b'\n')
                .count()
                + 1
        };
        let at = |line, name: Option<&str>| Place::File {
            path: path.to_owned(),
            line: Some(line),
            name: name.map(str::to_owned),
        };
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                // The parser's own message may quote the line.
                let line = line_of(error.span().map_or(0, |span| span.start));
                return errors.push(ConfigError::new(
                    at(line, None),
                    "this is not TOML; write NAME = \"text\", NAME = 10 or NAME = true, each name once",
                ));
            }
        };
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let place = at(line_of(key.span().start), Some(name));
            if !NAMES.contains(&name) && !is_kafka_property(name) {
                errors.push(ConfigError::new(
                    place,
                    "no such setting; see `src/config.default.toml` for all of them",
                ));
                continue;
            }
            let raw = match value.get_ref() {
                DeValue::String(text) => Raw::Text(text.to_string()),
                DeValue::Boolean(value) => Raw::Bool(*value),
                DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                    Ok(value) => Raw::Integer(value),
                    Err(_) => {
                        errors.push(ConfigError::new(place, "this integer is too large"));
                        continue;
                    }
                },
                _ => {
                    errors.push(ConfigError::new(
                        place,
                        "expected a text in quotes, an integer, true or false",
                    ));
                    continue;
                }
            };
            self.values.insert(name.to_owned(), (raw, place));
        }
    }

    /// An empty variable counts as not set: container tools pass those on. So does one that names an empty file.
    fn read_environment(&mut self, environment: &HashMap<String, String>, errors: &mut Vec<ConfigError>) {
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let kafka = environment
            .keys()
            .map(String::as_str)
            .filter(|name| is_kafka_property(name))
            .map(kafka_setting);
        let names: std::collections::BTreeSet<&str> = NAMES.into_iter().chain(kafka).collect();
        for name in names {
            let file_variable = format!("{name}_FILE");
            let place = |variable: &str| Place::Environment {
                variable: variable.to_owned(),
            };
            match (set(name), set(&file_variable)) {
                (Some(_), Some(_)) => errors.push(ConfigError::new(
                    place(&file_variable),
                    format!("{name} is set too; set one of the two"),
                )),
                (Some(value), None) => {
                    self.values
                        .insert(name.to_owned(), (Raw::Untyped(value.clone()), place(name)));
                }
                (None, Some(path)) => match std::fs::read_to_string(path) {
                    Ok(text) => {
                        let text = text.trim_end_matches(['\r', '\n']).to_owned();
                        if !text.is_empty() {
                            self.files.insert(name.to_owned(), path.into());
                            self.values
                                .insert(name.to_owned(), (Raw::Untyped(text), place(&file_variable)));
                        }
                    }
                    Err(error) => errors.push(ConfigError::new(
                        place(&file_variable),
                        format!("the file that it names cannot be read: {error}"),
                    )),
                },
                (None, None) => {}
            }
        }
    }
}
