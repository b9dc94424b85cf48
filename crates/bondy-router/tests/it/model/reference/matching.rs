//! URIs and patterns, naively.

use bondy_wamp::uri::UriRule;

/// A subscription or a registration with its members.
#[derive(Debug)]
pub(in super::super) struct Route {
    pub(in super::super) id: u64,
    pub(in super::super) uri: String,
    pub(in super::super) policy: Policy,
    pub(in super::super) invoke: String,
    pub(in super::super) members: Vec<Member>,
    /// How many calls found two callees or more.
    pub(super) rotation: u64,
    /// A callee that announced `call_reroute` was here.
    pub(super) had_rerouting_callee: bool,
}

/// A session in a subscription or registration.
#[derive(Clone, Debug)]
pub(in super::super) struct Member {
    pub(in super::super) session: u64,
    pub(super) slot: u64,
    pub(super) concurrency: u64,
    pub(super) discloses_caller: bool,
    pub(super) forwards_timeout: bool,
    /// Events that it lost since the last one that it got.
    pub(super) dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Policy {
    Exact,
    Prefix,
    Wildcard,
}

impl Policy {
    pub(in super::super) const ALL: [Policy; 3] = [Policy::Exact, Policy::Prefix, Policy::Wildcard];

    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Policy::Exact => "exact",
            Policy::Prefix => "prefix",
            Policy::Wildcard => "wildcard",
        }
    }

    pub(super) fn named(name: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|policy| Some(policy.name()) == name).unwrap_or(Policy::Exact)
    }

    pub(super) fn matches(self, pattern: &str, uri: &str) -> bool {
        match self {
            Policy::Exact => pattern == uri,
            Policy::Prefix => uri.starts_with(pattern),
            Policy::Wildcard => {
                let (wanted, parts): (Vec<_>, Vec<_>) =
                    (pattern.split('.').collect(), uri.split('.').collect());
                wanted.len() == parts.len()
                    && wanted.iter().zip(&parts).all(|(wanted, part)| wanted.is_empty() || wanted == part)
            }
        }
    }
}

impl Route {
    /// Exact before prefix, longer prefixes first, wildcards with the most specific head first.
    fn rank(&self) -> (Policy, std::cmp::Reverse<usize>, Vec<bool>) {
        let length = if self.policy == Policy::Prefix { self.uri.len() } else { 0 };
        (self.policy, std::cmp::Reverse(length), self.uri.split('.').map(str::is_empty).collect())
    }

    pub(super) fn holds(&self, session: u64) -> bool {
        self.members.iter().any(|member| member.session == session)
    }
}

/// The ids of the routes that match, the best first.
pub(super) fn matching(routes: &[Route], uri: &str) -> Vec<u64> {
    let mut found: Vec<&Route> =
        routes.iter().filter(|route| route.policy.matches(&route.uri, uri)).collect();
    found.sort_by_key(|route| route.rank());
    // Where every prefix ends inside a part, wildcards come first.
    let ends_with_part = |route: &&Route| {
        route.uri.is_empty()
            || route.uri.ends_with('.')
            || matches!(uri[route.uri.len()..].chars().next(), None | Some('.'))
    };
    if !found.iter().filter(|route| route.policy == Policy::Prefix).any(ends_with_part) {
        found.sort_by_key(|route| route.policy == Policy::Prefix);
    }
    found.into_iter().map(|route| route.id).collect()
}

/// The route of this very URI or pattern.
pub(super) fn lookup(routes: &[Route], uri: &str, policy: Policy) -> Option<u64> {
    routes.iter().find(|route| route.uri == uri && route.policy == policy).map(|route| route.id)
}

fn is_plain_part(part: &str, rule: UriRule) -> bool {
    part.chars().all(|character| match rule {
        UriRule::Loose => !character.is_whitespace() && character != '#',
        UriRule::Strict => matches!(character, 'a'..='z' | '0'..='9' | '_'),
    })
}

pub(super) fn is_uri(uri: &str, rule: UriRule) -> bool {
    uri.split('.').all(|part| !part.is_empty() && is_plain_part(part, rule))
}

pub(super) fn is_pattern(pattern: &str, policy: Policy, rule: UriRule) -> bool {
    let parts: Vec<&str> = pattern.split('.').collect();
    let are_plain = parts.iter().all(|part| is_plain_part(part, rule));
    match policy {
        Policy::Exact => is_uri(pattern, rule),
        // The last part may be cut anywhere.
        Policy::Prefix => are_plain && parts[..parts.len() - 1].iter().all(|part| !part.is_empty()),
        Policy::Wildcard => are_plain,
    }
}

pub(super) fn is_reserved(uri: &str) -> bool {
    let parts: Vec<&str> = uri.split('.').collect();
    [&["wamp"][..], &["bondy"], &["com", "bondy"], &["com", "leapsight", "bondy"]]
        .iter()
        .any(|namespace| parts.starts_with(namespace))
}
