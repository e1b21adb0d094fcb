//! Reads variables one by one and remembers everything that is wrong with them.

use std::{ffi::OsString, fmt::Display, ops::RangeInclusive, str::FromStr};

use tower_keep_core::ConfigError;

/// Where variables come from.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads variables. An empty one counts as unset.
pub(crate) struct Env<'a> {
    lookup: Lookup<'a>,
    pub(crate) error: ConfigError,
}

impl<'a> Env<'a> {
    pub(crate) fn new(lookup: Lookup<'a>) -> Self {
        Self { lookup, error: ConfigError::default() }
    }

    /// Whether the variable has a value, good or bad.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        (self.lookup)(name).is_some_and(|value| !value.is_empty())
    }

    /// Any text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let Ok(text) = (self.lookup)(name)?.into_string() else {
            // Not shown: it may be a secret.
            self.error.push(name, "is not valid UTF-8");
            return None;
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A whole number within `range`.
    pub(crate) fn number<N>(&mut self, name: &str, range: RangeInclusive<N>) -> Option<N>
    where
        N: FromStr + PartialOrd + Display,
    {
        let text = self.text(name)?;
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            let (text, from, to) = (shown(&text), range.start(), range.end());
            self.error.push(name, format!("`{text}` is not a whole number from {from} to {to}"));
        }
        number
    }

    /// A switch.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => {
                self.error.push(name, format!("`{}` is neither `true` nor `false`", shown(&text)));
                None
            }
        }
    }

    /// Anything that can be parsed and says itself what is wrong with it.
    pub(crate) fn parsed<T: FromStr<Err = ConfigError>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        text.parse().map_err(|error| self.error.merge(error)).ok()
    }
}

/// A value as an error may show it: escaped, and not too much of it.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", start.escape_debug())
}
