//! Where to connect and as whom, settled: a flag beats the environment, the environment beats the context.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::arguments::connection::{AuthMethodName, ConnectionArguments, SerializerName};
use crate::context::{Context, Contexts};
use crate::payload::read_text;

const DEFAULT_URL: &str = "ws://127.0.0.1:18080/ws";
const DEFAULT_REALM: &str = "realm1";

/// Where to connect and as whom.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) realm: String,
    /// In the transport's own preference, if not given.
    pub(crate) serializer: Option<SerializerName>,
    pub(crate) authid: Option<String>,
    pub(crate) authmethod: AuthMethodName,
    /// Empty for `anonymous`.
    pub(crate) secret: String,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) insecure: bool,
    pub(crate) connect_timeout: Duration,
    /// The context that has a part in it.
    pub(crate) context: Option<String>,
}

/// What the environment says of secrets.
#[derive(Clone, Debug, Default)]
struct SecretVariables {
    secret: Option<String>,
    secret_file: Option<PathBuf>,
}

impl Settings {
    /// Settles everything; reads contexts and the secret's file where they are needed.
    pub(crate) fn settle(arguments: &ConnectionArguments) -> Result<Self, Failure> {
        let (name, context) = context_or_selected(arguments.context.as_deref())?;
        let variables = SecretVariables {
            secret: std::env::var("BONDY_SECRET").ok().filter(|secret| !secret.is_empty()),
            secret_file: std::env::var_os("BONDY_SECRET_FILE")
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
        };
        let settings = Self::settle_with(arguments, &context, &variables)?;
        Ok(Self { context: name, ..settings })
    }

    fn settle_with(
        arguments: &ConnectionArguments,
        context: &Context,
        variables: &SecretVariables,
    ) -> Result<Self, Failure> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let secret = secret(arguments, context, variables)?;
        let authid = given(&arguments.authid).or_else(|| context.authid.clone());
        let authmethod = arguments.authmethod.or(context.authmethod);
        let (authmethod, secret) = method(authmethod, authid.as_deref(), secret)?;
        let ca_file = arguments.ca_file.clone().or_else(|| context.ca_file.clone());
        if let Some(file) = &ca_file {
            let text = read_text(&file.to_string_lossy())?;
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                return Err(Failure::usage(format!("{} holds no certificate in PEM form", file.display())));
            }
        }
        Ok(Self {
            url: given(&arguments.url)
                .or_else(|| context.url.clone())
                .unwrap_or_else(|| DEFAULT_URL.to_owned()),
            realm: given(&arguments.realm)
                .or_else(|| context.realm.clone())
                .unwrap_or_else(|| DEFAULT_REALM.to_owned()),
            serializer: arguments.serializer.or(context.serializer),
            authid,
            authmethod,
            secret,
            ca_file,
            insecure: arguments.insecure,
            connect_timeout: arguments.connect_timeout,
            context: None,
        })
    }
}

/// The context that is named, else the selected one, else an empty one without a name.
pub(crate) fn context_or_selected(name: Option<&str>) -> Result<(Option<String>, Context), Failure> {
    let contexts = Contexts::load()?;
    let found = match name.filter(|name| !name.is_empty()) {
        Some(name) => Some(contexts.named(name)?),
        None => contexts.selected()?,
    };
    Ok(found.map(|(name, context)| (Some(name.to_owned()), context.clone())).unwrap_or_default())
}

fn secret(
    arguments: &ConnectionArguments,
    context: &Context,
    variables: &SecretVariables,
) -> Result<Option<String>, Failure> {
    if let Some(file) = &arguments.secret_file {
        return read_secret(file).map(Some);
    }
    if let Some(secret) = &variables.secret {
        return Ok(Some(secret.clone()));
    }
    if let Some(file) = &variables.secret_file {
        return read_secret(file).map(Some);
    }
    match (&context.secret, &context.secret_file) {
        (Some(secret), _) => Ok(Some(secret.clone())),
        (None, Some(file)) => read_secret(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The text of the file, less the line end at its end.
fn read_secret(file: &Path) -> Result<String, Failure> {
    Ok(read_text(&file.to_string_lossy())?.trim_end_matches(['\r', '\n']).to_owned())
}

/// The method and what it proves with. Nothing is guessed where a secret could go to the wrong place.
fn method(
    method: Option<AuthMethodName>,
    authid: Option<&str>,
    secret: Option<String>,
) -> Result<(AuthMethodName, String), Failure> {
    let Some(method) = method else {
        return match secret {
            None => Ok((AuthMethodName::Anonymous, String::new())),
            Some(_) => Err(Failure::usage(
                "there is a secret, and no method that says what to do with it\n  help: give `--authmethod` (or set \
                 BONDY_AUTHMETHOD): ticket, wampcra, scram or cryptosign",
            )),
        };
    };
    if method == AuthMethodName::Anonymous {
        return Ok((method, String::new()));
    }
    if authid.is_none() && method != AuthMethodName::Cryptosign {
        return Err(Failure::usage(
            "this authentication method needs to know who joins\n  help: give `--authid`",
        ));
    }
    let secret = secret.filter(|secret| !secret.is_empty()).ok_or_else(|| {
        Failure::usage(
            "this authentication method needs a secret\n  help: give `--secret-file FILE`, or set BONDY_SECRET",
        )
    })?;
    Ok((method, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> ConnectionArguments {
        ConnectionArguments::default()
    }

    #[track_caller]
    fn settled(arguments: &ConnectionArguments, context: &Context, variables: &SecretVariables) -> Settings {
        match Settings::settle_with(arguments, context, variables) {
            Ok(settings) => settings,
            Err(failure) => panic!("{failure:?}"),
        }
    }

    #[test]
    fn without_anything_it_is_a_router_for_development() {
        let settings = settled(&arguments(), &Context::default(), &SecretVariables::default());
        assert_eq!((settings.url.as_str(), settings.realm.as_str()), (DEFAULT_URL, DEFAULT_REALM));
        assert!(settings.authmethod == AuthMethodName::Anonymous);
    }

    #[test]
    fn what_is_given_beats_the_context_field_by_field() {
        let context =
            Context { url: Some("rs://a:1".to_owned()), realm: Some("one".to_owned()), ..Context::default() };
        let arguments = ConnectionArguments { realm: Some("two".to_owned()), ..arguments() };
        let settings = settled(&arguments, &context, &SecretVariables::default());
        assert_eq!((settings.url.as_str(), settings.realm.as_str()), ("rs://a:1", "two"));
    }

    #[test]
    fn secrets_come_from_the_flag_then_the_environment_then_the_context() {
        let file = std::env::temp_dir().join(format!("bondy-secret-{}", std::process::id()));
        std::fs::write(&file, "from the file\n").expect("a file");
        let context = Context {
            authid: Some("a".to_owned()),
            authmethod: Some(AuthMethodName::Ticket),
            secret: Some("from the context".to_owned()),
            ..Context::default()
        };
        let mut variables = SecretVariables::default();
        assert_eq!(settled(&arguments(), &context, &variables).secret, "from the context");
        variables.secret_file = Some(file.clone());
        assert_eq!(settled(&arguments(), &context, &variables).secret, "from the file");
        variables.secret = Some("from the environment".to_owned());
        assert_eq!(settled(&arguments(), &context, &variables).secret, "from the environment");
        let flag = ConnectionArguments { secret_file: Some(file.clone()), ..arguments() };
        assert_eq!(settled(&flag, &context, &variables).secret, "from the file");
        std::fs::remove_file(file).expect("the file");
    }

    #[test]
    fn a_secret_without_a_method_goes_nowhere() {
        let variables = SecretVariables { secret: Some("s".to_owned()), secret_file: None };
        assert!(Settings::settle_with(&arguments(), &Context::default(), &variables).is_err());
    }
}
