//! Realm objects, and the line that this version draws through them.
//!
//! The objects have the original's format, all of which is read. What the node does is: anonymous sessions that may
//! do everything, from the address families that are named. An object that says exactly this is accepted; one that
//! asks for more names the key that does, because running it would leave open what its author closed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use bondy_transport::forwarded::IpNetwork;
use bondy_wamp::uri::{self, MatchPolicy, UriRule};

use super::check::not_in_this_version;
use super::decode::{View, text_of};
use super::problem::{Complaint, Report, nearest, one_of};
use super::{AddressFamilies, AuthMethod, Disclosure, Disclosures, EventHistory, Limits, RealmConfig};

/// The permissions that make "everything", as the original names them.
const PERMISSIONS: [&str; 7] = [
    "wamp.register",
    "wamp.unregister",
    "wamp.call",
    "wamp.cancel",
    "wamp.subscribe",
    "wamp.unsubscribe",
    "wamp.publish",
];

const MASTER: &str = "com.leapsight.bondy";

pub(crate) fn realms(root: &View<'_>, problems: &mut Report) -> Vec<RealmConfig> {
    let mut first_at: BTreeMap<&str, usize> = BTreeMap::new();
    let views = root.sections("realms");
    let mut realms = Vec::with_capacity(views.len());
    for (index, view) in views.iter().enumerate() {
        let uri = view.text("uri");
        if uri == "bondy"
            || uri == MASTER
            || uri.strip_prefix(MASTER).is_some_and(|rest| rest.starts_with('.'))
        {
            let complaint =
                Complaint::new(format!("the master realm `{uri}` cannot be configured in this version"));
            problems
                .push(view.problem("uri", complaint.help("leave it out; give your own realm another name")));
        }
        if let Some(first) = first_at.insert(uri, index).filter(|_| !uri.is_empty()) {
            let complaint =
                Complaint::new(format!("the realm `{uri}` is given twice; the first is `realms.{first}`"));
            problems.push(view.problem("uri", complaint));
        }
        realms.push(realm(view, problems));
    }
    realms
}

fn realm(view: &View<'_>, problems: &mut Report) -> RealmConfig {
    let security_enabled = view.flag("security_enabled");
    check_authmethods(view, security_enabled, problems);
    check_grants(view, security_enabled, problems);
    let named = check_sources(view, security_enabled, problems);
    let everywhere = AddressFamilies { ipv4: true, ipv6: true };
    RealmConfig {
        uri: view.text("uri").to_owned(),
        description: view.text("description").to_owned(),
        authmethods: vec![AuthMethod::Anonymous],
        security_enabled,
        anonymous_sources: if security_enabled { named } else { everywhere },
        event_history: event_histories(view, problems),
        disclosure: disclosures(&view.section("disclosure")),
        limits: limits(&view.section("limits")),
    }
}

fn check_authmethods(view: &View<'_>, security_enabled: bool, problems: &mut Report) {
    let help = "write `authmethods: [anonymous]`";
    let methods: Vec<&str> = view.items("authmethods").map(text_of).collect();
    let others: Vec<&str> = methods.iter().copied().filter(|method| *method != "anonymous").collect();
    if !others.is_empty() {
        let complaint = not_in_this_version(&format!(
            "the realm authenticates by {}",
            one_of(&others).replace(" or ", " and ")
        ));
        problems.push(view.problem("authmethods", complaint.help(help)));
    } else if methods.is_empty() && view.has("authmethods") && view.is_sound("authmethods", problems) {
        problems
            .push(view.problem("authmethods", not_in_this_version("no method lets anybody in").help(help)));
    } else if methods.is_empty() && security_enabled && view.is_sound("authmethods", problems) {
        let complaint = not_in_this_version(
            "without `authmethods` a realm authenticates by password, ticket and others too",
        );
        problems.push(view.problem("authmethods", complaint.help(help)));
    }
}

fn check_grants(view: &View<'_>, security_enabled: bool, problems: &mut Report) {
    let grants = view.sections("grants");
    let mut granted = BTreeSet::new();
    for grant in &grants {
        check_roles(grant, problems);
        check_resources(grant, problems);
        for permission in grant.items("permissions").map(text_of) {
            check_permission(grant, permission, problems);
            granted.insert(permission);
        }
    }
    let missing: Vec<&str> =
        PERMISSIONS.into_iter().filter(|permission| !granted.contains(permission)).collect();
    if !missing.is_empty() && view.is_sound("grants", problems) && (security_enabled || !grants.is_empty()) {
        let complaint = not_in_this_version(&format!("nobody is granted {}", one_of(&missing)));
        problems.push(view.problem("grants", complaint.help(everything())));
    }
}

fn everything() -> String {
    let permissions = PERMISSIONS.join(", ");
    format!(
        "grant everything: `{{permissions: [{permissions}], resources: [{{uri: \"*\"}}], roles: [anonymous]}}`"
    )
}

fn check_roles(grant: &View<'_>, problems: &mut Report) {
    let roles = grant.one_or_many("roles");
    let others = roles.iter().map(|role| text_of(role)).filter(|role| !matches!(*role, "anonymous" | "all"));
    let others: Vec<&str> = others.collect();
    if !others.is_empty() {
        let complaint =
            not_in_this_version(&format!("a grant to {}", one_of(&others).replace(" or ", " and ")));
        problems.push(grant.problem("roles", complaint.help("grant to `anonymous` or `all`")));
    } else if roles.is_empty() && grant.has("roles") && grant.is_sound("roles", problems) {
        problems.push(grant.problem("roles", Complaint::new("the list is empty: the grant is nobody's")));
    }
}

fn check_resources(grant: &View<'_>, problems: &mut Report) {
    let mut resources = grant.sections("resources");
    let is_inline = grant.has("uri");
    if is_inline == grant.has("resources") {
        let complaint = Complaint::new("expected either `resources` or `uri`");
        problems.push(grant.problem("resources", complaint.help("such as `resources: [{uri: \"*\"}]`")));
    } else if !is_inline && resources.is_empty() {
        let complaint = Complaint::new("the list is empty: the grant is for nothing");
        problems.push(grant.problem("resources", complaint.help("such as `[{uri: \"*\"}]`")));
    }
    if is_inline {
        check_resource(grant, problems);
    }
    for resource in resources.drain(..) {
        check_resource(&resource, problems);
    }
}

/// `*` and the empty prefix are every URI; anything else is less, and that cannot be enforced.
fn check_resource(resource: &View<'_>, problems: &mut Report) {
    let uri = resource.text("uri");
    let is_everything = matches!(uri, "*" | "") && matches!(resource.text("match"), "" | "prefix");
    if !is_everything {
        let complaint = not_in_this_version(&format!("a grant for `{}` alone", uri.escape_debug()));
        problems.push(resource.problem("uri", complaint.help("grant for every URI: `{uri: \"*\"}`")));
    }
}

fn check_permission(grant: &View<'_>, permission: &str, problems: &mut Report) {
    if PERMISSIONS.contains(&permission) {
        return;
    }
    let complaint = not_in_this_version(&format!("the permission `{}`", permission.escape_debug()));
    let complaint = match nearest(permission, PERMISSIONS) {
        Some(near) => complaint.help(format!("did you mean `{near}`?")),
        None => complaint.help(format!("the permissions are {}", one_of(&PERMISSIONS))),
    };
    problems.push(grant.problem("permissions", complaint));
}

fn check_sources(view: &View<'_>, security_enabled: bool, problems: &mut Report) -> AddressFamilies {
    let sources = view.sections("sources");
    let mut families = AddressFamilies { ipv4: false, ipv6: false };
    for source in &sources {
        check_source(source, problems);
        match IpNetwork::parse(source.text("cidr")) {
            Ok(network) if network.prefix_bits() > 0 => {
                let complaint = not_in_this_version(&format!("a source for the network `{network}` alone"));
                let help = "name a whole address family: `0.0.0.0/0`, `::/0`, or one source for each";
                problems.push(source.problem("cidr", complaint.help(help)));
            }
            Ok(network) if network.contains(Ipv4Addr::LOCALHOST.into()) => families.ipv4 = true,
            Ok(_) => families.ipv6 = true,
            Err(_) => {}
        }
    }
    if sources.is_empty() && security_enabled && view.is_sound("sources", problems) {
        let complaint = Complaint::new("no source: nobody could join from anywhere");
        let help = "such as `sources: [{usernames: [anonymous], authmethod: anonymous, cidr: 0.0.0.0/0}]`";
        problems.push(view.problem("sources", complaint.help(help)));
    }
    families
}

fn check_source(source: &View<'_>, problems: &mut Report) {
    let usernames = source.one_or_many("usernames");
    let others =
        usernames.iter().map(|name| text_of(name)).filter(|name| !matches!(*name, "anonymous" | "all"));
    let others: Vec<&str> = others.collect();
    if !others.is_empty() {
        let complaint =
            not_in_this_version(&format!("a source for {}", one_of(&others).replace(" or ", " and ")));
        problems.push(source.problem("usernames", complaint.help("name `anonymous` or `all`")));
    } else if usernames.is_empty() && source.has("usernames") && source.is_sound("usernames", problems) {
        problems
            .push(source.problem("usernames", Complaint::new("the list is empty: the source is nobody's")));
    }
    let method = source.text("authmethod");
    if source.has("authmethod") && method != "anonymous" {
        let complaint = not_in_this_version(&format!("a source for the method `{}`", method.escape_debug()));
        problems.push(source.problem("authmethod", complaint.help("write `authmethod: anonymous`")));
    }
}

fn event_histories(view: &View<'_>, problems: &mut Report) -> Vec<EventHistory> {
    let mut histories = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in view.sections("event_history") {
        let match_policy = MatchPolicy::parse(entry.text("match")).unwrap_or_default();
        let uri = entry.text("uri");
        if entry.has("uri") && !uri::is_valid_pattern(uri, match_policy, UriRule::Loose) {
            let what = format!("`{}` is no URI for the match policy `{match_policy}`", uri.escape_debug());
            problems.push(entry.problem("uri", Complaint::new(what)));
        }
        if entry.has("uri") && !seen.insert((uri, match_policy)) {
            let what =
                format!("`{}` with the match policy `{match_policy}` is given twice", uri.escape_debug());
            problems.push(entry.problem("uri", Complaint::new(what)));
        }
        histories.push(EventHistory {
            uri: uri.to_owned(),
            match_policy,
            events_max: entry.count("limit"),
            ttl: entry.duration_or_word("ttl"),
        });
    }
    histories
}

fn disclosures(view: &View<'_>) -> Disclosures {
    let disclosure = |key| match view.text(key) {
        "deny" => Disclosure::Deny,
        "always" => Disclosure::Always,
        _ => Disclosure::Allow,
    };
    Disclosures { caller: disclosure("caller"), publisher: disclosure("publisher") }
}

fn limits(view: &View<'_>) -> Limits {
    Limits {
        sessions_max: view.count("sessions_max"),
        registrations_max: view.count("registrations_max"),
        subscriptions_max: view.count("subscriptions_max"),
        calls_max: view.count("calls_max"),
        invocations_max: view.count("invocations_max"),
        retained_max: view.count("retained_max"),
        history_bytes_max: view.size("history_bytes_max"),
        message_bytes_max: view.size("message_bytes_max"),
    }
}
