//! What holds where no flag says otherwise: the environment, a named context; and who joins, from all of them.

use crate::failure::Failure;
use crate::wire::{AuthMethod, Credentials};
use clap::ValueEnum;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No ticket, password or key is longer.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The name of a way to prove who joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AuthMethodName {
    /// Nobody in particular
    Anonymous,
    /// A shared secret, sent as it is
    Ticket,
    /// A challenge signed with a shared secret
    Wampcra,
    /// A password that neither side shows the other
    Scram,
    /// A challenge signed with a private key
    Cryptosign,
}

impl AuthMethodName {
    pub(super) fn name(self) -> &'static str {
        match self {
            AuthMethodName::Anonymous => "anonymous",
            AuthMethodName::Ticket => "ticket",
            AuthMethodName::Wampcra => "wampcra",
            AuthMethodName::Scram => "scram",
            AuthMethodName::Cryptosign => "cryptosign",
        }
    }

    /// `None`: anonymous.
    fn method(self) -> Option<AuthMethod> {
        match self {
            AuthMethodName::Anonymous => None,
            AuthMethodName::Ticket => Some(AuthMethod::Ticket),
            AuthMethodName::Wampcra => Some(AuthMethod::WampCra),
            AuthMethodName::Scram => Some(AuthMethod::WampScram),
            AuthMethodName::Cryptosign => Some(AuthMethod::Cryptosign),
        }
    }
}

/// The connection of a run, as far as flags leave it open.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The router's URL.
    pub url: Option<String>,
    /// The realm.
    pub realm: Option<String>,
    /// The serializer's name.
    pub serializer: Option<String>,
    /// Who joins.
    pub authid: Option<String>,
    /// The method's name: anonymous, ticket, wampcra, scram or cryptosign.
    pub authmethod: Option<String>,
    /// The ticket, password or private key.
    pub secret: Option<String>,
    /// The file that has it; the secret itself goes before.
    pub secret_file: Option<PathBuf>,
    /// Whether the running program is `bondy`, which can start a router.
    pub is_bondy: bool,
}

impl fmt::Debug for Defaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Defaults { url, realm, serializer, authid, authmethod, secret: _, secret_file, is_bondy: _ } =
            self;
        write!(
            formatter,
            "Defaults({url:?} {realm:?} {serializer:?} {authid:?} {authmethod:?} {secret_file:?})"
        )
    }
}

impl Defaults {
    /// `BONDY_URL`, `BONDY_REALM`, `BONDY_SERIALIZER`, `BONDY_AUTHID`, `BONDY_AUTHMETHOD`, `BONDY_SECRET` and
    /// `BONDY_SECRET_FILE`, as for every client command.
    pub fn from_environment() -> Defaults {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Defaults {
            url: read("BONDY_URL"),
            realm: read("BONDY_REALM"),
            serializer: read("BONDY_SERIALIZER"),
            authid: read("BONDY_AUTHID"),
            authmethod: read("BONDY_AUTHMETHOD"),
            secret: read("BONDY_SECRET"),
            secret_file: read("BONDY_SECRET_FILE").map(PathBuf::from),
            is_bondy: false,
        }
    }

    /// What stands here, and from `others` what does not. A secret and a file with one are two forms of the same.
    pub fn or(self, others: Defaults) -> Defaults {
        let has_secret = self.secret.is_some() || self.secret_file.is_some();
        Defaults {
            url: self.url.or(others.url),
            realm: self.realm.or(others.realm),
            serializer: self.serializer.or(others.serializer),
            authid: self.authid.or(others.authid),
            authmethod: self.authmethod.or(others.authmethod),
            secret: if has_secret { self.secret } else { others.secret },
            secret_file: if has_secret { self.secret_file } else { others.secret_file },
            is_bondy: self.is_bondy || others.is_bondy,
        }
    }

    /// Who joins, and with what; `None`: anonymously. Nothing is guessed where a secret could go to the wrong place.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let has_secret = self.secret.is_some() || self.secret_file.is_some();
        let Some(name) = &self.authmethod else {
            return match has_secret {
                false => Ok(None),
                true => Err(Failure::usage(
                    "there is a secret, and no method that says what to do with it: give --authmethod (or \
                     BONDY_AUTHMETHOD): ticket, wampcra, scram or cryptosign",
                )),
            };
        };
        let known = AuthMethodName::from_str(name, false).map_err(|_| {
            Failure::usage(format!(
                "`{name}` is no method: use anonymous, ticket, wampcra, scram or cryptosign"
            ))
        })?;
        let Some(method) = known.method() else { return Ok(None) };
        if self.authid.is_none() && method != AuthMethod::Cryptosign {
            return Err(Failure::usage(format!("the method {name} needs to know who joins: give --authid")));
        }
        let secret = match (&self.secret, &self.secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(file)) => read_secret(file)?,
            (None, None) => String::new(),
        };
        if secret.is_empty() {
            let text =
                format!("the method {name} needs a secret: give --secret-file FILE, or set BONDY_SECRET");
            return Err(Failure::usage(text));
        }
        Ok(Some(Credentials { method, authid: self.authid.clone(), secret }))
    }
}

/// The text of the file, `-` for standard input, less the line end at its end.
fn read_secret(file: &Path) -> Result<String, Failure> {
    let wrong = |reason: String| Failure::usage(format!("--secret-file {}: {reason}", file.display()));
    let mut text = String::new();
    let read = match file == Path::new("-") {
        true => io::stdin().take(SECRET_BYTES_MAX + 1).read_to_string(&mut text),
        false => {
            let opened = File::open(file).map_err(|error| wrong(error.to_string()))?;
            opened.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)
        }
    };
    match read {
        Ok(length) if length as u64 > SECRET_BYTES_MAX => {
            Err(wrong("it is longer than any secret".to_owned()))
        }
        Ok(_) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(wrong(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(authmethod: Option<&str>, authid: Option<&str>, secret: Option<&str>) -> Defaults {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Defaults {
            authmethod: owned(authmethod),
            authid: owned(authid),
            secret: owned(secret),
            ..Defaults::default()
        }
    }

    #[test]
    fn nothing_about_secrets_is_guessed() {
        assert_eq!(Defaults::default().credentials(), Ok(None));
        assert_eq!(defaults(Some("anonymous"), None, Some("s")).credentials(), Ok(None));
        for (wrong, reason) in [
            (defaults(None, Some("joe"), Some("s")), "no method"),
            (defaults(Some("ticket"), None, Some("s")), "--authid"),
            (defaults(Some("ticket"), Some("joe"), None), "--secret-file"),
            (defaults(Some("password"), Some("joe"), Some("s")), "`password`"),
        ] {
            let failure = wrong.credentials().expect_err(reason);
            assert!(failure.message.contains(reason), "{failure}");
        }
        let key = defaults(Some("cryptosign"), None, Some("00")).credentials();
        assert!(key.expect("credentials").is_some());
    }

    #[test]
    fn what_comes_first_brings_its_own_secret() {
        let flags = Defaults { secret_file: Some("a".into()), ..Defaults::default() };
        let both = flags.or(defaults(Some("ticket"), Some("joe"), Some("of the environment")));
        assert_eq!((both.secret, both.secret_file), (None, Some("a".into())));
        assert_eq!(both.authid.as_deref(), Some("joe"));
    }

    #[test]
    fn debug_text_has_no_secret() {
        let text = format!("{:?}", defaults(Some("ticket"), Some("joe"), Some("sesame")));
        assert!(text.contains("joe") && !text.contains("sesame"), "{text}");
    }
}
