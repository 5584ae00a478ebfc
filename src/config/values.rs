//! Typed access to raw values; what is wrong is collected, so that all of it is told at once.

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, str::FromStr};

use super::{
    names::{is_kafka_property, kafka_property},
    source::{ConfigError, Place, Raw, Source},
};
use crate::{domain::image, kafka, secret::Secret, telemetry::check_log_filter};

pub(super) struct Values {
    source: Source,
    errors: Vec<ConfigError>,
}

impl Values {
    pub(super) fn new(source: Source, errors: Vec<ConfigError>) -> Self {
        Self { source, errors }
    }

    /// The settings, unless something was wrong.
    pub(super) fn finish<T>(self, settings: T) -> Result<T, Vec<ConfigError>> {
        if self.errors.is_empty() {
            Ok(settings)
        } else {
            Err(self.errors)
        }
    }

    pub(super) fn error(&mut self, name: &str, problem: impl Into<String>) {
        let place = match self.source.values.get(name) {
            Some((_, place)) => place.clone(),
            None => Place::Nowhere { name: name.to_owned() },
        };
        self.errors.push(ConfigError::new(place, problem));
    }

    /// Whether it is set: an empty text counts as not set.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name)
            .is_some_and(|raw| !matches!(raw, Raw::Untyped(text) | Raw::Text(text) if text.is_empty()))
    }

    fn raw(&self, name: &str) -> Option<&Raw> {
        self.source.values.get(name).map(|(raw, _)| raw)
    }

    /// An empty text counts as not set.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.raw(name)? {
            Raw::Untyped(text) | Raw::Text(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Raw::Integer(_) | Raw::Bool(_) => {
                self.error(name, "expected a text in quotes");
                None
            }
        }
    }

    pub(super) fn secret(&mut self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// What of these is not set is an error.
    pub(super) fn need(&mut self, names: &[&str], whose: &str) {
        for name in names {
            if !self.has(name) {
                self.error(name, format!("needed for {whose}"));
            }
        }
    }

    pub(super) fn bool(&mut self, name: &str, default: bool) -> bool {
        let value = match self.raw(name) {
            None => Some(default),
            Some(Raw::Bool(value)) => Some(*value),
            Some(Raw::Untyped(text)) => text.trim().to_lowercase().parse().ok(),
            Some(_) => None,
        };
        value.unwrap_or_else(|| {
            self.error(name, "expected true or false");
            default
        })
    }

    pub(super) fn integer<T>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Copy + std::fmt::Display,
    {
        let value = match self.raw(name) {
            None => return default,
            Some(Raw::Integer(value)) => Some(*value),
            Some(Raw::Untyped(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        let value = value.and_then(|value| T::try_from(value).ok());
        value.filter(|value| range.contains(value)).unwrap_or_else(|| {
            self.error(
                name,
                format!("expected an integer from {} to {}", range.start(), range.end()),
            );
            default
        })
    }

    /// A text that its type understands; that type's error says what was expected.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &str, default: &str) -> T {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        let fallback = || default.parse().ok().expect("every default is valid");
        text.parse().unwrap_or_else(|error: T::Err| {
            self.error(name, error.to_string());
            fallback()
        })
    }

    /// An absolute http or https URL, which is shown, and so has no user name and no password in it; a trailing slash is
    /// removed.
    pub(super) fn url(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        match url::Url::parse(&text) {
            Ok(url) if has_credentials(&url) => self.error(name, no_credentials(name)),
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {}
            _ => self.error(name, "expected an http:// or https:// URL"),
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    /// A URL with parts in braces.
    pub(super) fn template(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        let filled = text.replace("{certificate_uuid}", "x").replace("{course_id}", "x");
        match url::Url::parse(&filled) {
            Ok(url) if has_credentials(&url) => self.error(name, no_credentials(name)),
            Ok(_) if !filled.contains(['{', '}']) => {}
            _ => self.error(name, "expected a URL with {certificate_uuid} or {course_id} in it"),
        }
        Some(text)
    }

    /// Where the brokers are, which is shown.
    pub(super) fn servers(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        if text.contains('@') {
            self.error(name, no_credentials(name));
        }
        Some(text)
    }

    /// The file that the value of this setting was read from, if it was.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        self.source.files.get(name).cloned()
    }

    /// The content of a badge image's file. Neither the path nor the content is quoted.
    pub(super) fn image(&mut self, name: &str) -> Option<Vec<u8>> {
        let path = self.text(name)?;
        let read = std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}"));
        let checked = read.and_then(|bytes| match image::check_image(&bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.to_string()),
        });
        checked.map_err(|problem| self.error(name, problem)).ok()
    }

    /// Which lines the log has; by default `info`.
    pub(super) fn log_filter(&mut self, name: &str) -> String {
        let filter = self.text(name).unwrap_or_else(|| "info".to_owned());
        if let Err(error) = check_log_filter(&filter) {
            self.error(name, error.to_string());
        }
        filter
    }

    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let chosen = choices
            .iter()
            .find(|(choice, _)| *choice == text)
            .map(|(_, value)| *value);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            self.error(name, format!("expected one of: {}", names.join(", ")));
        }
        chosen
    }

    /// The further librdkafka properties, and what is to be warned of. In a file an unknown one is an error; a pod's
    /// environment may hold `KAFKA_PORT` and its like, which mean something else.
    pub(super) fn kafka_properties(&mut self) -> (BTreeMap<String, Secret>, Vec<String>) {
        let mut properties = BTreeMap::new();
        let mut warnings = Vec::new();
        let found: Vec<(String, Raw, Place)> = self
            .source
            .values
            .iter()
            .filter(|(name, _)| is_kafka_property(name))
            .map(|(name, (raw, place))| (name.clone(), raw.clone(), place.clone()))
            .collect();
        for (name, raw, place) in found {
            if !self.has(&name) {
                continue;
            }
            let property = kafka_property(&name);
            if !kafka::is_known_property(&property) {
                match place {
                    Place::Environment { .. } => warnings.push(format!(
                        "environment: {name} is ignored: librdkafka has no property {property}"
                    )),
                    _ => self.error(&name, format!("librdkafka has no property {property}")),
                }
                continue;
            }
            let text = match raw {
                Raw::Untyped(text) | Raw::Text(text) => text,
                Raw::Integer(value) => value.to_string(),
                Raw::Bool(value) => value.to_string(),
            };
            let one = BTreeMap::from([(property.clone(), text.clone())]);
            if kafka::check_properties(&one).is_ok() {
                properties.insert(property, Secret::new(text));
            } else {
                self.error(&name, format!("librdkafka does not take this value for {property}"));
            }
        }
        (properties, warnings)
    }
}

fn has_credentials(url: &url::Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// What is wrong with a URL that has credentials in it, and what to use instead.
fn no_credentials(name: &str) -> String {
    let instead = match name {
        "BACKEND_URL" => "use BACKEND_TOKEN",
        "BADGR_BASE_URL" => "use BADGR_USERNAME and BADGR_PASSWORD",
        "KAFKA_BOOTSTRAP_SERVERS" => "use KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
        _ => "take them out, for it is published",
    };
    format!("must not hold a user name or a password: {instead}")
}
