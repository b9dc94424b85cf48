//! The configuration, through its one door: files and environment are given, a `Config` or all problems come out.

mod errors;
mod hostile;
mod precedence;
mod realms;
mod reference;
mod syntax;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bondy_node::config::{Config, Loaded, Problems, Request, Setting, Surroundings, load_from};

/// Files, an environment and a command line.
#[derive(Clone, Default)]
pub(crate) struct World {
    files: BTreeMap<PathBuf, Vec<u8>>,
    environment: Vec<(String, String)>,
    request: Request,
}

impl World {
    /// Nothing but the defaults for development.
    pub(crate) fn dev() -> Self {
        World { request: Request { dev: true, ..Request::default() }, ..World::default() }
    }

    /// One file, named on the command line.
    pub(crate) fn of(path: &str, text: impl AsRef<[u8]>) -> Self {
        let request = Request { file: Some(path.into()), ..Request::default() };
        World { request, ..World::default() }.file(path, text)
    }

    /// One YAML file with a listener and these lines.
    pub(crate) fn with(lines: &str) -> Self {
        World::of("bondy.yaml", format!("listeners: {{a: {{bind: \"h:1\", serve: [websocket]}}}}\n{lines}"))
    }

    pub(crate) fn file(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        self.files.insert(path.into(), text.as_ref().to_vec());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        let setting = Setting { flag: format!("--set {key}"), key: key.into(), value: value.into() };
        self.request.settings.push(setting);
        self
    }

    pub(crate) fn load(&self) -> Result<Loaded, Problems> {
        let read = |path: &Path| {
            self.files.get(path).cloned().ok_or_else(|| io::Error::from_raw_os_error(2)) // ENOENT
        };
        load_from(&self.request, &Surroundings { environment: self.environment.clone(), read: &read })
    }

    #[track_caller]
    pub(crate) fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}")).config
    }

    /// Every problem, as the operator reads them.
    #[track_caller]
    pub(crate) fn problems(&self) -> String {
        match self.load() {
            Ok(_) => panic!("the configuration is fine"),
            Err(problems) => problems.to_string(),
        }
    }
}
