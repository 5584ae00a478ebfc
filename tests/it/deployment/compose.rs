//! `docker-compose.yml` and `deploy/Dockerfile`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use accolade::config::Settings;
use serde::Deserialize;

use super::{is_command, is_setting, normal, read, repository};

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, serde_yaml_ng::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Service {
    image: String,
    build: Option<Build>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    environment: HashMap<String, String>,
    ports: Vec<String>,
    volumes: Vec<String>,
    depends_on: BTreeMap<String, serde_yaml_ng::Value>,
    healthcheck: Healthcheck,
}

#[derive(Deserialize)]
struct Build {
    context: String,
    dockerfile: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Healthcheck {
    test: Vec<String>,
    disable: bool,
}

fn compose() -> Compose {
    serde_yaml_ng::from_str(&read("docker-compose.yml")).expect("the compose file is what this test knows of it")
}

impl Compose {
    fn of_accolade(&self) -> impl Iterator<Item = (&String, &Service)> {
        self.services
            .iter()
            .filter(|(_, service)| service.image.starts_with("accolade:"))
    }
}

impl Service {
    /// The arguments of each call of the program.
    fn calls(&self) -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let script = self.entrypoint.first().is_some_and(|program| program.ends_with("/sh"));
        let mut calls: Vec<Vec<String>> = if script {
            self.command.iter().flat_map(|text| text.lines()).map(words).collect()
        } else {
            let program = std::iter::once("accolade".to_owned());
            vec![program.chain(self.command.iter().cloned()).collect()]
        };
        calls.extend(
            self.healthcheck
                .test
                .strip_prefix(&["CMD".to_owned()])
                .map(<[_]>::to_vec),
        );
        calls
    }

    /// Where a path of the container is in the repository.
    fn host_path(&self, path: &Path) -> Option<PathBuf> {
        self.volumes.iter().find_map(|volume| {
            let mut parts = volume.split(':');
            let (host, container) = (parts.next()?, parts.next()?);
            let rest = path.strip_prefix(container).ok()?;
            host.starts_with("./")
                .then(|| normal(&repository().join(host).join(rest)))
        })
    }

    /// The environment with each `${NAME:-default}` at its default.
    fn settings(&self) -> HashMap<String, String> {
        let fill = |value: &String| {
            let mut text = value.clone();
            while let Some(start) = text.find("${") {
                let end = start + text[start..].find('}').expect("the brace is closed");
                let (name, default) = text[start + 2..end]
                    .split_once(":-")
                    .expect("each variable has a default");
                assert!(!name.is_empty(), "{value}");
                let default = default.to_owned();
                text.replace_range(start..=end, &default);
            }
            text
        };
        self.environment
            .iter()
            .map(|(name, value)| (name.clone(), fill(value)))
            .collect()
    }
}

#[test]
fn the_settings_of_the_compose_file_are_settings_and_hold_together() {
    let compose = compose();
    assert!(compose.of_accolade().count() >= 2);
    for (name, service) in compose.of_accolade() {
        for variable in service.environment.keys() {
            assert!(is_setting(variable), "{name}: {variable} is no setting");
        }
        let loaded = Settings::load(None, &service.settings());
        let settings = loaded.unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        assert_eq!(settings.warnings, Vec::<String>::new());
        let broker = settings.kafka_bootstrap_servers.expect("a broker of its own");
        let host = broker.split(':').next().expect("a host");
        assert!(compose.services.contains_key(host), "{broker} is no service");
    }
}

#[test]
fn ports_are_those_that_are_listened_on() {
    let compose = compose();
    let service = &compose.services["accolade"];
    let settings = Settings::load(None, &service.settings()).expect("good settings");
    let port = settings.http_listen.port();
    assert!(
        settings.http_listen.ip().is_unspecified(),
        "a container has to be reachable from outside"
    );
    assert_eq!(service.ports.len(), 1);
    let (host, container) = service.ports[0].rsplit_once(':').expect("HOST:CONTAINER");
    assert_eq!(container, port.to_string());
    let public = settings.public_url.expect("a public URL");
    assert!(public.ends_with(host), "{public} is not where {host} leads");
    let exposed: Vec<String> = instructions("EXPOSE").collect();
    assert_eq!(exposed, [port.to_string()]);
    let listens = instructions("ENV").find_map(|text| Some(text.strip_prefix("HTTP_LISTEN=")?.to_owned()));
    assert_eq!(listens, Some(format!("0.0.0.0:{port}")));
}

#[test]
fn what_is_called_is_there_to_be_called() {
    let compose = compose();
    let mut calls: Vec<Vec<String>> = compose.of_accolade().flat_map(|(_, service)| service.calls()).collect();
    let entrypoint: Vec<Vec<String>> = instructions("ENTRYPOINT").map(|text| json(&text)).collect();
    assert_eq!(entrypoint, [["accolade"]]);
    calls.extend(instructions("CMD").map(|text| [entrypoint[0].clone(), json(&text)].concat()));
    let health = instructions("HEALTHCHECK").next().expect("the image says how it is");
    calls.push(json(health.split_once("CMD").expect("a command").1));
    assert!(calls.len() >= 6, "{calls:?}");
    for call in calls {
        let words: Vec<&str> = call.iter().map(String::as_str).collect();
        assert_eq!(words.first(), Some(&"accolade"), "{call:?}");
        assert!(is_command(&words[1..]), "{call:?} is no command");
    }
}

#[test]
fn what_is_mounted_and_copied_exists() {
    let compose = compose();
    for (name, service) in &compose.services {
        for volume in &service.volumes {
            let source = volume.split(':').next().expect("a source");
            let is_there = match source.strip_prefix("./") {
                Some(path) => repository().join(path).is_dir(),
                None => compose.volumes.contains_key(source),
            };
            assert!(is_there, "{name}: {volume}");
        }
        for needed in service.depends_on.keys() {
            let other = compose
                .services
                .get(needed)
                .unwrap_or_else(|| panic!("{name} waits for {needed}"));
            assert!(
                !other.healthcheck.disable && !other.healthcheck.test.is_empty(),
                "{needed} says how it is"
            );
        }
        if let Some(build) = &service.build {
            assert!(
                repository().join(&build.context).join(&build.dockerfile).is_file(),
                "{name}: {}",
                build.dockerfile
            );
        }
        for path in service
            .calls()
            .concat()
            .iter()
            .filter(|word| word.starts_with("/samples/"))
        {
            let host = service.host_path(Path::new(path));
            assert!(host.is_some_and(|path| path.is_file()), "{name}: {path} is not mounted");
        }
    }
    let ignored: Vec<String> = read(".dockerignore")
        .lines()
        .map(|line| line.trim_matches('/').to_owned())
        .collect();
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "src",
        "migrations",
        "deploy",
        "deploy/images",
    ] {
        assert!(
            repository().join(needed).exists() && !ignored.contains(&needed.to_owned()),
            "{needed}"
        );
    }
    for copied in instructions("COPY").filter(|text| !text.starts_with("--from")) {
        let source = copied.split_whitespace().next().expect("a source");
        assert!(repository().join(source).exists(), "COPY {copied}");
    }
}

#[test]
fn a_sample_image_is_found_in_the_container_too() {
    let compose = compose();
    let service = &compose.services["samples"];
    for image in super::samples::images() {
        let inside = normal(&Path::new("/samples").join(&image));
        assert!(service.host_path(&inside).is_some_and(|path| path.is_file()), "{image}");
    }
}

#[test]
fn images_are_pinned() {
    let compose = compose();
    let built = compose.services["accolade"].image.clone();
    assert_eq!(built, format!("accolade:{}", env!("CARGO_PKG_VERSION")));
    for (name, service) in &compose.services {
        assert!(is_pinned(&service.image), "{name}: {}", service.image);
        assert_eq!(service.image.starts_with("accolade:"), service.image == built, "{name}");
    }
    let from: Vec<String> = instructions("FROM").collect();
    assert_eq!(from.len(), 2);
    for image in &from {
        assert!(image.contains(':') && !image.contains("latest"), "{image}");
    }
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().expect("TOML");
    let channel = toolchain["toolchain"]["channel"]
        .as_str()
        .expect("a channel")
        .to_owned();
    let tag = from[0].strip_prefix("rust:").expect("Rust builds it");
    assert!(
        tag.starts_with(&channel) || channel.starts_with(tag.split('-').next().unwrap_or(tag)),
        "{tag}, {channel}"
    );
    assert!(!is_pinned("postgres") && !is_pinned("postgres:latest") && is_pinned("postgres:17.6"));
}

fn is_pinned(image: &str) -> bool {
    image
        .split_once(':')
        .is_some_and(|(_, tag)| tag.contains('.') && tag.chars().any(|c| c.is_ascii_digit()))
}

/// The arguments of an instruction of the image's recipe, continued lines joined.
fn instructions(name: &'static str) -> impl Iterator<Item = String> {
    let text = read("deploy/Dockerfile").replace("\\\n", " ");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.into_iter().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(' ').then(|| rest.trim().to_owned())
    })
}

fn json(text: &str) -> Vec<String> {
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{text}: {error}"))
}
