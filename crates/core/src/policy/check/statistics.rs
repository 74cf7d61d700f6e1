//! `routes[].statistics`: a shape that names what there is, read by those whom the route names.

use serde_json::Value;

use super::Checking;
use crate::policy::checked::{Figure, Route, SHAPE_VALUES_MAX, Shape};
use crate::policy::nearest::nearest;
use crate::policy::raw;
use crate::policy::read::clip;
use crate::policy::tree::KeyPath;

impl Checking<'_> {
    /// The shape of a route that answers with figures.
    pub(super) fn statistics(&mut self, at: &KeyPath, route: &raw::Route) -> Option<Shape> {
        let raw = route.statistics.as_ref()?;
        let at = at.key("statistics");
        let served = route.upstream.is_some() || route.upstreams.is_some() || route.http.is_some();
        if served {
            let help = "the gateway itself answers here; make a route of its own for the backend";
            self.fault(&at, "`statistics` excludes `upstream`, `upstreams` and `http`", help);
            return None;
        }
        if route.permission.is_none() && route.roles.as_ref().is_none_or(Vec::is_empty) {
            let help = "name a `permission` or `roles` on the route; `permission: anyone` if everybody may";
            self.fault(&at, "nothing says who may read the figures", help);
            return None;
        }
        let shape =
            self.need(&at.key("shape"), raw.shape.as_ref(), "write the answer, as `shape: {users: '{users}'}`")?;
        let mut values = 0;
        let read = self.shape(&at.key("shape"), shape, &mut values);
        if values > SHAPE_VALUES_MAX {
            self.fault(&at.key("shape"), "the shape is too large", format!("keep at most {SHAPE_VALUES_MAX} values"));
            return None;
        }
        read
    }

    fn shape(&mut self, at: &KeyPath, value: &Value, values: &mut usize) -> Option<Shape> {
        *values += 1;
        if *values > SHAPE_VALUES_MAX {
            return None;
        }
        Some(match value {
            Value::Array(items) => {
                Shape::List(self.each(at, items, |checking, at, item| checking.shape(at, item, values))?)
            }
            Value::Object(entries) => {
                let read: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| Some((key.clone(), self.shape(&at.key(key), value, values)?)))
                    .collect();
                Shape::Map(read.into_iter().collect::<Option<_>>()?)
            }
            Value::String(text) => match Figure::parse(text) {
                Ok(Some(figure)) => Shape::Figure(figure),
                Ok(None) => Shape::Fixed(value.clone()),
                Err((message, help)) => {
                    self.fault(at, message, help);
                    return None;
                }
            },
            Value::Null | Value::Bool(_) | Value::Number(_) => Shape::Fixed(value.clone()),
        })
    }

    /// Whether every figure of a route is about one that there is.
    pub(super) fn statistics_of(&mut self, at: &KeyPath, routes: &[Route]) -> bool {
        let mut right = true;
        for (position, route) in routes.iter().enumerate() {
            if let Some(shape) = &route.statistics {
                right &= self.known(&at.index(position).key("statistics").key("shape"), shape, routes);
            }
        }
        right
    }

    fn known(&mut self, at: &KeyPath, shape: &Shape, routes: &[Route]) -> bool {
        match shape {
            Shape::Fixed(_) => true,
            Shape::List(items) => {
                items.iter().enumerate().fold(true, |right, (n, item)| self.known(&at.index(n), item, routes) && right)
            }
            Shape::Map(entries) => {
                entries.iter().fold(true, |right, (key, shape)| self.known(&at.key(key), shape, routes) && right)
            }
            Shape::Figure(figure) => {
                let Some(named) = figure.route() else { return true };
                let names =
                    || routes.iter().filter(|route| route.statistics.is_none()).map(|route| route.name.as_str());
                if names().any(|name| name == named) {
                    return true;
                }
                let help = match nearest(named, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write the `name` of a route that has connections".to_owned(),
                };
                self.fault(at, format!("no route is named `{}`", clip(named)), help);
                false
            }
        }
    }
}
