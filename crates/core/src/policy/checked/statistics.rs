//! A route that answers with the gateway's own figures, in a shape of the operator's (SPEC 11.2).
//!
//! Decides which text of the shape is a figure. What the figures are, the gateway counts.

use serde_json::{Map, Value};

use crate::policy::nearest::nearest;
use crate::policy::read::clip;
use crate::verdict::{Category, Reason};

/// Most values of one shape, maps and lists counted too.
pub const SHAPE_VALUES_MAX: usize = 512;

/// What a reader is answered with: constants, and figures where the operator named one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// As it is written.
    Fixed(Value),
    /// A list.
    List(Vec<Shape>),
    /// An object.
    Map(Vec<(String, Shape)>),
    /// What is measured when somebody asks.
    Figure(Figure),
}

/// Connections of all routes, or of one by its name.
pub type Of = Option<Box<str>>;

/// A figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Figure {
    /// Open connections.
    Connections(Of),
    /// Open connections of callers who are known.
    AuthenticatedConnections(Of),
    /// Open connections of callers who are not.
    AnonymousConnections(Of),
    /// Subjects that have a connection.
    Users(Of),
    /// Open connections by route, tenant, role.
    ConnectionsBy(Group),
    /// `connections_per_user_max` of a route; `null` where it is off.
    ConnectionsPerUserMax(Box<str>),
    /// What was refused, dropped, closed or observed since the start, for all reasons or some.
    Refusals(Option<Box<[Reason]>>),
    /// The same, of the reasons of a category.
    RefusalsIn(Category),
    /// What was refused, dropped, closed or observed in the last hour, for all reasons or some.
    RefusalsLastHour(Option<Box<[Reason]>>),
    /// The same, of the reasons of a category.
    RefusalsInLastHour(Category),
    /// Messages from clients and to them since the start.
    Messages,
    /// Entries of the blocklist, and addresses whose failures earned a ban.
    Blocked,
    /// Addresses, subnets and users whose score led to something.
    Suspicious,
    /// The same by reason, those that never happened left out.
    RefusalsByReason,
    /// `normal`, `elevated`, `high` or `critical`.
    FloodLevel,
    /// Whether a lockdown is in force.
    Lockdown,
    /// Seconds since 1970 with a fraction.
    UnixSeconds,
    /// Seconds since the start.
    UptimeSeconds,
}

/// What connections are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The route's name.
    Route,
    /// The caller's tenant.
    Tenant,
    /// Each of the caller's roles.
    Role,
}

/// Every figure by its name, and what may stand behind the colon.
const NAMES: &[(&str, Argument)] = &[
    ("connections", Argument::MaybeRoute),
    ("authenticated_connections", Argument::MaybeRoute),
    ("anonymous_connections", Argument::MaybeRoute),
    ("users", Argument::MaybeRoute),
    ("connections_by_route", Argument::None),
    ("connections_by_tenant", Argument::None),
    ("connections_by_role", Argument::None),
    ("connections_per_user_max", Argument::Route),
    ("refusals", Argument::MaybeReasons),
    ("refusals_in", Argument::Category),
    ("refusals_last_hour", Argument::MaybeReasons),
    ("refusals_in_last_hour", Argument::Category),
    ("messages", Argument::None),
    ("blocked", Argument::None),
    ("suspicious", Argument::None),
    ("refusals_by_reason", Argument::None),
    ("flood_level", Argument::None),
    ("lockdown", Argument::None),
    ("unix_seconds", Argument::None),
    ("uptime_seconds", Argument::None),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    None,
    MaybeRoute,
    Route,
    MaybeReasons,
    Category,
}

/// What is wrong with a text that looks like a figure: in words, and what to do.
pub(crate) type Fault = (String, String);

impl Figure {
    /// The figure that a text names: `{users}`, `{connections:general}`. `Ok(None)`: it is a plain text.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, Fault> {
        let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return if text.contains(['{', '}']) {
                let help = "write the figure alone: `\"{users}\"`";
                Err((format!("`{}` is neither a figure nor plain text", clip(text)), help.to_owned()))
            } else {
                Ok(None)
            };
        };
        let (name, argument) = match inner.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (inner, None),
        };
        let Some((_, takes)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let names = || NAMES.iter().map(|(known, _)| *known);
            let help = match nearest(name, names()) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => format!("the figures are {}", names().collect::<Vec<_>>().join(", ")),
            };
            return Err((format!("`{}` is not a figure", clip(text)), help));
        };
        match (takes, argument) {
            (Argument::None, Some(_)) => {
                Err((format!("`{name}` takes nothing behind a colon"), format!("write `{{{name}}}`")))
            }
            (Argument::Route, None) => {
                Err((format!("`{name}` needs a route"), format!("write `{{{name}:NAME}}` with the name of a route")))
            }
            (Argument::MaybeReasons, Some(labels)) => {
                let reasons = labels.split(',').map(|label| reason(label.trim())).collect::<Result<_, _>>()?;
                let figure = if name == "refusals" { Self::Refusals } else { Self::RefusalsLastHour };
                Ok(Some(figure(Some(reasons))))
            }
            (Argument::Category, label) => {
                let figure = if name == "refusals_in" { Self::RefusalsIn } else { Self::RefusalsInLastHour };
                category(label.unwrap_or_default()).map(|one| Some(figure(one)))
            }
            _ => Ok(Self::named(name, argument)),
        }
    }

    fn named(name: &str, argument: Option<&str>) -> Option<Self> {
        let of = || argument.map(Box::from);
        Some(match name {
            "connections" => Self::Connections(of()),
            "authenticated_connections" => Self::AuthenticatedConnections(of()),
            "anonymous_connections" => Self::AnonymousConnections(of()),
            "users" => Self::Users(of()),
            "connections_by_route" => Self::ConnectionsBy(Group::Route),
            "connections_by_tenant" => Self::ConnectionsBy(Group::Tenant),
            "connections_by_role" => Self::ConnectionsBy(Group::Role),
            "connections_per_user_max" => Self::ConnectionsPerUserMax(of()?),
            "refusals" => Self::Refusals(None),
            "refusals_last_hour" => Self::RefusalsLastHour(None),
            "messages" => Self::Messages,
            "blocked" => Self::Blocked,
            "suspicious" => Self::Suspicious,
            "refusals_by_reason" => Self::RefusalsByReason,
            "flood_level" => Self::FloodLevel,
            "lockdown" => Self::Lockdown,
            "unix_seconds" => Self::UnixSeconds,
            "uptime_seconds" => Self::UptimeSeconds,
            _ => return None,
        })
    }

    /// The route it is about.
    pub(crate) fn route(&self) -> Option<&str> {
        match self {
            Self::Connections(of)
            | Self::AuthenticatedConnections(of)
            | Self::AnonymousConnections(of)
            | Self::Users(of) => of.as_deref(),
            Self::ConnectionsPerUserMax(route) => Some(route),
            _ => None,
        }
    }
}

fn category(label: &str) -> Result<Category, Fault> {
    let found = Category::ALL.iter().find(|category| category.label() == label).copied();
    found.ok_or_else(|| {
        let names = Category::ALL.iter().map(|category| category.label()).collect::<Vec<_>>().join(", ");
        (format!("`{}` is no category of events", clip(label)), format!("the categories are {names}"))
    })
}

fn reason(label: &str) -> Result<Reason, Fault> {
    let found = Reason::ALL.iter().find(|reason| reason.label() == label);
    found.copied().ok_or_else(|| {
        let help = match nearest(label, Reason::ALL.iter().map(|reason| reason.label())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the manual of refusals lists them".to_owned(),
        };
        (format!("`{}` is no reason of a refusal", clip(label)), help)
    })
}

impl Shape {
    /// The answer, with every figure as `figure` gives it.
    pub fn fill(&self, figure: &impl Fn(&Figure) -> Value) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::List(items) => Value::Array(items.iter().map(|item| item.fill(figure)).collect()),
            Self::Map(entries) => {
                let filled = entries.iter().map(|(key, shape)| (key.clone(), shape.fill(figure)));
                Value::Object(filled.collect::<Map<_, _>>())
            }
            Self::Figure(one) => figure(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_figure() {
        for (name, takes) in NAMES {
            let text = match takes {
                Argument::Route => format!("{{{name}:chat}}"),
                Argument::Category => format!("{{{name}:security}}"),
                _ => format!("{{{name}}}"),
            };
            let figure = Figure::parse(&text).unwrap().unwrap_or_else(|| panic!("{name}"));
            assert_eq!(figure.route(), (*takes == Argument::Route).then_some("chat"), "{name}");
        }
    }

    #[test]
    fn a_figure_stands_alone_in_its_text() {
        assert_eq!(Figure::parse("users"), Ok(None));
        assert_eq!(Figure::parse("{users:chat}"), Ok(Some(Figure::Users(Some("chat".into())))));
        assert_eq!(
            Figure::parse("{refusals:origin_refused}"),
            Ok(Some(Figure::Refusals(Some([Reason::OriginRefused].into()))))
        );
        let both = Figure::parse("{refusals:message_rate, connection_rate}");
        assert_eq!(both, Ok(Some(Figure::Refusals(Some([Reason::MessageRate, Reason::ConnectionRate].into())))));
        let failed = Figure::parse("{refusals_in_last_hour:authentication}");
        assert_eq!(failed, Ok(Some(Figure::RefusalsInLastHour(Category::Authentication))));
        let rate = Figure::parse("{refusals_last_hour:message_rate}");
        assert_eq!(rate, Ok(Some(Figure::RefusalsLastHour(Some([Reason::MessageRate].into())))));
        for wrong in [
            "{user s}",
            "{lockdown:x}",
            "{connections_per_user_max}",
            "all {users}",
            "{",
            "{}",
            "{refusals:x}",
            "{refusals:message_rate,x}",
            "{refusals_in}",
            "{refusals_in_last_hour:x}",
            "{refusals_last_hour:x}",
        ] {
            assert!(Figure::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shape_is_filled_where_it_names_figures() {
        let users = Shape::Figure(Figure::Users(None));
        let shape = Shape::Map(vec![
            ("ok".to_owned(), Shape::Fixed(Value::Bool(true))),
            ("all".to_owned(), Shape::List(vec![users, Shape::Fixed(Value::Null)])),
        ]);
        let filled = shape.fill(&|figure| Value::from(u64::from(*figure == Figure::Users(None)) + 6));
        assert_eq!(filled, serde_json::json!({ "ok": true, "all": [7, null] }));
    }
}
