//! The policy as it is asked: every pattern, template, key and plan built once, immutable, swapped as a whole.

use std::sync::Arc;

use super::checked::{self, Checked};
use crate::admission::OriginCheck;
use crate::admission::route::{Params, RouteTable, Template, TemplateError};
use crate::identity::Verifier;
use crate::inspection::{Direction, Plan, PlanError};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    /// What it was compiled from.
    pub checked: Checked,
    routes: Vec<Arc<Route>>,
    table: RouteTable,
    origins: OriginCheck,
    verifier: Verifier,
}

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    /// What it was compiled from.
    pub spec: checked::Route,
    /// Its place among the policy's routes.
    pub index: usize,
    pub(crate) template: Template,
    origins: Option<OriginCheck>,
    /// Checks of messages to the server.
    pub inbound: Plan,
    /// Checks of messages to the client.
    pub outbound: Plan,
}

/// Why a checked policy cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A path.
    #[error("route `{route}`: {source}")]
    Template {
        /// The route's name.
        route: String,
        /// Why.
        source: TemplateError,
    },
    /// An origin's pattern.
    #[error("an origin pattern: {0}")]
    Origin(#[from] regex::Error),
    /// A message check.
    #[error("route `{route}`: {source}")]
    Plan {
        /// The route's name.
        route: String,
        /// Why.
        source: PlanError,
    },
}

impl Policy {
    /// Compiles.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile(checked: Checked) -> Result<Self, CompileError> {
        let notes_types = checked.anomalies.action.is_some();
        let compile = |(index, spec)| Route::compile(spec, index, notes_types).map(Arc::new);
        let compiled = checked.routes.iter().enumerate().map(compile);
        let routes = compiled.collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            table: RouteTable::new(routes.clone()),
            origins: OriginCheck::compile(&checked.origins)?,
            verifier: Verifier::new(&checked.identity),
            routes,
            checked,
        })
    }

    /// All routes, in the order they were written.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route of that name.
    #[must_use]
    pub fn route_named(&self, name: &str) -> Option<Arc<Route>> {
        self.routes.iter().find(|route| route.spec.name == name).map(Arc::clone)
    }

    /// The route of a path, with its parameters.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<(Arc<Route>, Params)> {
        self.table.find(path).map(|(route, params)| (Arc::clone(route), params))
    }

    pub(crate) fn origins(&self) -> &OriginCheck {
        &self.origins
    }

    pub(crate) fn verifier(&self) -> &Verifier {
        &self.verifier
    }
}

impl Route {
    fn compile(spec: &checked::Route, index: usize, notes_types: bool) -> Result<Self, CompileError> {
        let named = |source| CompileError::Template { route: spec.name.clone(), source };
        let plan = |messages, direction| {
            Plan::compile(messages, &spec.errors, direction, spec.checks)
                .map_err(|source| CompileError::Plan { route: spec.name.clone(), source })
        };
        Ok(Self {
            template: Template::compile(&spec.path).map_err(named)?,
            origins: spec.origins.as_ref().map(OriginCheck::compile).transpose()?,
            inbound: plan(&spec.inbound, Direction::Inbound)?.noting_types(notes_types),
            outbound: plan(&spec.outbound, Direction::Outbound)?,
            spec: spec.clone(),
            index,
        })
    }

    pub(crate) fn origins<'a>(&'a self, policy: &'a Policy) -> &'a OriginCheck {
        self.origins.as_ref().unwrap_or(&policy.origins)
    }
}

impl Checked {
    /// Whether a client that has no route yet is told what was wrong: only where every route would tell.
    #[must_use]
    pub fn detailed_errors(&self) -> bool {
        !self.routes.is_empty() && self.routes.iter().all(|route| route.errors.detailed)
    }
}
