//! URIs, URI patterns and how they match.
//!
//! Specification: Basic Profile, "URIs"; Advanced Profile, "Pattern-based Subscriptions" and "Pattern-based
//! Registrations". A URI is parts joined by dots. Prefix matching is by *string* prefix (`com.app.e` matches
//! `com.app.emergency`); wildcard matching is part by part, an empty part of the pattern matching any one part.

use std::fmt;

/// The longest URI that is accepted, in bytes. Keeps tables, logs and pattern probing bounded.
pub const URI_BYTES_MAX: usize = 1024;

/// The most parts that a URI may have. Bounds the depth of the wildcard trie.
pub const URI_PARTS_MAX: usize = 128;

/// How strictly URIs are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UriRule {
    /// No white space, no `#`, no empty part: `^([^\s\.#]+\.)*([^\s\.#]+)$`.
    #[default]
    Loose,
    /// Parts of lower-case letters, digits and `_` only.
    Strict,
}

/// How a subscription or registration matches topics or procedures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchPolicy {
    /// The very URI.
    #[default]
    Exact,
    /// Every URI that begins with this string.
    Prefix,
    /// Every URI of as many parts, an empty part matching any.
    Wildcard,
}

impl MatchPolicy {
    /// Every policy.
    pub const ALL: [MatchPolicy; 3] = [MatchPolicy::Exact, MatchPolicy::Prefix, MatchPolicy::Wildcard];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchPolicy::Exact => "exact",
            MatchPolicy::Prefix => "prefix",
            MatchPolicy::Wildcard => "wildcard",
        }
    }

    /// The policy of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == name)
    }

    /// Does the pattern match the URI under this policy?
    pub fn matches(self, pattern: &str, uri: &str) -> bool {
        match self {
            MatchPolicy::Exact => pattern == uri,
            MatchPolicy::Prefix => uri.starts_with(pattern),
            MatchPolicy::Wildcard => wildcard_matches(pattern, uri),
        }
    }
}

impl fmt::Display for MatchPolicy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

fn wildcard_matches(pattern: &str, uri: &str) -> bool {
    let mut parts = uri.split('.');
    for wanted in pattern.split('.') {
        match parts.next() {
            Some(part) if wanted.is_empty() || wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// Is this a URI without empty parts, as topics, procedures and errors are?
pub fn is_valid(uri: &str, rule: UriRule) -> bool {
    has_valid_characters(uri, rule) && !uri.is_empty() && !has_empty_part(uri)
}

/// Is this a pattern that a subscription or registration of the given policy may use?
///
/// Exact: a URI. Prefix: a URI whose last part may be cut anywhere, also right after a dot (`com.app.`), or the
/// empty string, which matches everything. Wildcard: empty parts anywhere.
pub fn is_valid_pattern(pattern: &str, policy: MatchPolicy, rule: UriRule) -> bool {
    match policy {
        MatchPolicy::Exact => is_valid(pattern, rule),
        MatchPolicy::Prefix => {
            let parts = pattern.strip_suffix('.').unwrap_or(pattern);
            has_valid_characters(pattern, rule) && (pattern.is_empty() || !has_empty_part(parts))
        }
        MatchPolicy::Wildcard => has_valid_characters(pattern, rule),
    }
}

/// The beginning of a URI, for texts that people read: whoever sends megabytes does not get them back.
pub fn shown(uri: &str) -> &str {
    &uri[..uri.floor_char_boundary(256)]
}

/// Is the URI in a namespace that applications may neither register nor publish to?
pub fn is_reserved(uri: &str) -> bool {
    const RESERVED: [&str; 4] = ["wamp", "bondy", "com.bondy", "com.leapsight.bondy"];
    RESERVED.iter().any(|namespace| {
        uri.strip_prefix(namespace).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn has_empty_part(uri: &str) -> bool {
    uri.starts_with('.') || uri.ends_with('.') || uri.contains("..")
}

/// Length, number of parts and characters: everything but where the dots are.
fn has_valid_characters(uri: &str, rule: UriRule) -> bool {
    if uri.len() > URI_BYTES_MAX {
        return false;
    }
    let mut dots = 0;
    let plain = uri.bytes().all(|byte| {
        dots += usize::from(byte == b'.');
        match rule {
            UriRule::Loose => byte > b' ' && byte != b'#' && byte != 0x7f,
            UriRule::Strict => matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'),
        }
    });
    let ascii_or_no_white_space = uri.is_ascii() || !uri.contains(char::is_whitespace);
    plain && ascii_or_no_white_space && dots < URI_PARTS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_uris_allow_any_character_but_white_space_hash_and_empty_parts() {
        for uri in ["com.myapp.topic1", "a", "com.Grüße.x", "com.a-b.c/d"] {
            assert!(is_valid(uri, UriRule::Loose), "{uri}");
        }
        for uri in ["", ".", "com.", ".com", "com..app", "com.my app", "com.#", "com.\u{2003}x", "a\tb"] {
            assert!(!is_valid(uri, UriRule::Loose), "{uri:?}");
        }
    }

    #[test]
    fn strict_uris_allow_lower_case_digits_and_underscore() {
        assert!(is_valid("com.my_app.topic1", UriRule::Strict));
        assert!(!is_valid("com.MyApp", UriRule::Strict));
        assert!(!is_valid("com.a-b", UriRule::Strict));
    }

    #[test]
    fn a_prefix_may_end_anywhere_and_a_wildcard_may_have_empty_parts() {
        for prefix in ["com.app.", "com.ap", "", "com"] {
            assert!(is_valid_pattern(prefix, MatchPolicy::Prefix, UriRule::Loose), "{prefix:?}");
        }
        assert!(!is_valid_pattern("com..app", MatchPolicy::Prefix, UriRule::Loose));
        for pattern in ["com..app", ".app", "com.", "..", "com.app"] {
            assert!(is_valid_pattern(pattern, MatchPolicy::Wildcard, UriRule::Loose), "{pattern:?}");
        }
    }

    #[test]
    fn prefix_matches_by_string_and_wildcard_by_part() {
        assert!(MatchPolicy::Prefix.matches("com.app.e", "com.app.emergency"));
        assert!(!MatchPolicy::Prefix.matches("com.app.e", "com.app"));
        assert!(MatchPolicy::Wildcard.matches("com..create", "com.user.create"));
        assert!(!MatchPolicy::Wildcard.matches("com..create", "com.user.a.create"));
        assert!(!MatchPolicy::Wildcard.matches("com..create", "com.create"));
        assert!(MatchPolicy::Wildcard.matches("..", "a.b.c"));
    }

    #[test]
    fn reserved_namespaces_are_whole_parts() {
        for uri in ["wamp", "wamp.session.x", "bondy.realm", "com.bondy.x", "com.leapsight.bondy.x"] {
            assert!(is_reserved(uri), "{uri}");
        }
        for uri in ["wampx.y", "com.bondyx", "com.leapsight.other"] {
            assert!(!is_reserved(uri), "{uri}");
        }
    }
}
