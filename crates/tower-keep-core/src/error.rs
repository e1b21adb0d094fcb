//! What can go wrong: a store that did not do as asked, and a configuration that cannot be.

use std::{error::Error as StdError, fmt, sync::Arc};

/// A boxed error, as `tower` and `hyper` use it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// What is known about a store command that failed.
///
/// Layers choose by class what a failure means; it says whether the command may have been
/// carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The command never left this process and will never be carried out later: the breaker is
    /// open, there was no free place within the deadline, or there is no connection.
    NotSent,
    /// The command may or may not have been carried out: it timed out, or the connection broke
    /// after it was sent.
    Unknown,
    /// The server answered, and refused (`OOM`, `READONLY`, `NOPERM`, `LOADING`, …): the command
    /// was not carried out, and the connection is healthy.
    Refused,
}

impl ErrorClass {
    /// The class as a short label for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
        }
    }
}

/// A store did not do as it was asked. Cheap to clone; its text never holds a secret or a key.
#[derive(Clone)]
pub struct StoreError {
    class: ErrorClass,
    message: Arc<str>,
}

impl StoreError {
    /// An error of `class`, described by `message`.
    pub fn new(class: ErrorClass, message: impl Into<Arc<str>>) -> Self {
        Self { class, message: message.into() }
    }

    /// The command never left this process.
    pub fn not_sent(message: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorClass::NotSent, message)
    }

    /// The command may have been carried out.
    pub fn unknown(message: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorClass::Unknown, message)
    }

    /// The server answered, and refused.
    pub fn refused(message: impl Into<Arc<str>>) -> Self {
        Self::new(ErrorClass::Refused, message)
    }

    /// What is known about the failed command.
    pub const fn class(&self) -> ErrorClass {
        self.class
    }

    /// What happened, in words.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("class", &self.class)
            .field("message", &self.message)
            .finish()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.label(), self.message)
    }
}

impl StdError for StoreError {}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// What it is about: the environment variable, or the builder's option.
    pub name: String,
    /// What is wrong with it, and what is accepted.
    pub message: String,
}

/// A configuration that cannot be: all of its problems at once, each with the name of the
/// variable or option and with what is accepted there. Secrets never appear in it.
///
/// ```
/// use tower_keep_core::ConfigError;
///
/// let mut found = ConfigError::default();
/// found.push("RATE_LIMIT_MAX", "`-1` is not a whole number from 1 to 1000000000");
/// found.push("REDIS_PORT", "`http` is not a port from 1 to 65535");
/// let error = found.into_result(()).unwrap_err();
/// assert_eq!(error.problems().len(), 2);
/// assert!(error.to_string().contains("RATE_LIMIT_MAX"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<ConfigProblem>,
}

impl ConfigError {
    /// An error with one problem.
    pub fn new(name: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::default();
        error.push(name, message);
        error
    }

    /// Notes one more problem.
    pub fn push(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.problems.push(ConfigProblem { name: name.into(), message: message.into() });
    }

    /// Takes over all problems of `other`.
    pub fn merge(&mut self, other: Self) {
        self.problems.extend(other.problems);
    }

    /// `value`, unless a problem was noted.
    ///
    /// # Errors
    ///
    /// The error itself, when it holds at least one problem.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Everything that is wrong, in the order found.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        for ConfigProblem { name, message } in &self.problems {
            write!(f, "\n  {name}: {message}")?;
        }
        Ok(())
    }
}

impl StdError for ConfigError {}
