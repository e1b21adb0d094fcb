//! What a fred error says about its command.

use fred::error::{Error, ErrorKind};
use tower_keep_core::{ErrorClass, StoreError};

use crate::tls::{DISTRUST, distrust};

/// Server errors that pass by themselves.
const PASSING: [&str; 7] =
    ["LOADING", "BUSY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "READONLY", "TRYAGAIN"];
const LONGEST: usize = 256;

/// A command that failed, and what it says about the connection.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    error: StoreError,
    trips: bool,
    about: About,
}

/// What else there is to know about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Where the key is.
    Place,
    /// The time that was left.
    Time,
    /// Who we are.
    Login,
    /// Nothing that matters here.
    Other,
}

impl Failure {
    /// The deadline was over before the command was handed to fred.
    pub(crate) fn late() -> Self {
        let error = StoreError::not_sent("no time was left to send it");
        Self { error, trips: false, about: About::Other }
    }

    /// The same where no command was under way that matters: what is wrong with our login is a
    /// refusal then.
    pub(crate) fn of_connection(mut self) -> Self {
        if self.about == About::Login {
            self.error = StoreError::new(ErrorClass::Refused, self.error.message());
        }
        self
    }

    pub(crate) fn error(&self) -> &StoreError {
        &self.error
    }

    pub(crate) fn into_error(self) -> StoreError {
        self.error
    }

    /// Whether it speaks against the connection. A refusal does not: the server answered.
    pub(crate) fn trips(&self) -> bool {
        self.trips
    }

    /// Whether the server does not know the script (any more).
    pub(crate) fn is_noscript(&self) -> bool {
        self.is_refused() && self.error.message().starts_with("NOSCRIPT")
    }

    /// Whether waiting will not help: a wrong password, a missing right, a certificate that is not
    /// trusted, a wrong kind of server.
    pub(crate) fn is_lasting(&self) -> bool {
        let message = self.error.message();
        let passing = PASSING.iter().any(|code| message.starts_with(code));
        let refused = self.is_refused() && !passing && !message.contains("max number of clients");
        refused || self.about == About::Login || message.starts_with(DISTRUST)
    }

    /// Whether there was no answer at all, not even that there will be none.
    pub(crate) fn is_timeout(&self) -> bool {
        self.about == About::Time
    }

    /// Whether a cluster node said that it is to be sent to another one: it was not carried out.
    pub(crate) fn is_redirected(&self) -> bool {
        self.about == About::Place
    }

    /// Whether not all keys of a command are where its slot is, because it moves.
    pub(crate) fn is_apart(&self) -> bool {
        self.is_refused() && self.error.message().starts_with("TRYAGAIN")
    }

    /// Whether the command never left this process.
    pub(crate) fn is_unsent(&self) -> bool {
        self.error().class() == ErrorClass::NotSent
    }

    /// Whether the server answered, and refused.
    pub(crate) fn is_refused(&self) -> bool {
        self.error.class() == ErrorClass::Refused
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let redirected = is_redirection(&error);
        let about = match error.kind() {
            _ if redirected => About::Place,
            ErrorKind::Timeout => About::Time,
            ErrorKind::Auth => About::Login,
            _ => About::Other,
        };
        let error = match class_of(&error) {
            ErrorClass::NotSent => StoreError::not_sent(
                distrust_of(&error).unwrap_or_else(|| "not connected".to_owned()),
            ),
            class if redirected => StoreError::new(class, "MOVED or ASK to a node not known"),
            class => StoreError::new(class, text_of(&error)),
        };
        Self { trips: error.class() != ErrorClass::Refused, error, about }
    }
}

/// Read from fred 10.1.0, and held by tests:
///
/// - `NotSent` are three exact texts: the fail-fast refusal of a client that is not connected, the
///   closed channel of a client that has ended, and a node that there is no connection to. All
///   drop the command before it is written. So is a connection that was not made because one side
///   does not trust the other's certificate: fred's own words, never the server's.
/// - `Refused` is the server's own error reply, told by its code. All but `CLUSTERDOWN`, `NOAUTH`
///   and `WRONGPASS`: fred ends the connection for these, and gives their text to every command in
///   flight there, sent or not.
/// - So is a redirection, which fred is told not to follow.
/// - All else is `Unknown`. A command that timed out in fred's queue will not be sent any more,
///   but its error is that of one which was.
fn class_of(error: &Error) -> ErrorClass {
    if is_redirection(error) {
        return ErrorClass::Refused;
    }
    match (error.kind(), error.details()) {
        (ErrorKind::Canceled, "Connection closed unexpectedly.")
        | (ErrorKind::Unknown, "Failed to send command to router." | "Failed to route command.") => {
            ErrorClass::NotSent
        }
        (ErrorKind::IO | ErrorKind::Tls, _) if distrust_of(error).is_some() => ErrorClass::NotSent,
        (
            ErrorKind::IO
            | ErrorKind::Timeout
            | ErrorKind::Canceled
            | ErrorKind::Protocol
            | ErrorKind::Auth,
            _,
        ) => ErrorClass::Unknown,
        (_, details) if has_code(details) && !details.starts_with("CLUSTERDOWN") => {
            ErrorClass::Refused
        }
        _ => ErrorClass::Unknown,
    }
}

/// One side's distrust of the other in words, if it is that: told by the TLS library, and not by
/// a server that likes the words.
fn distrust_of(error: &Error) -> Option<String> {
    let ours = matches!(error.kind(), ErrorKind::IO | ErrorKind::Tls);
    let told = distrust(error.details()).filter(|_| ours && !has_code(error.details()));
    told.map(|told| legible(&told))
}

/// What fred makes of `MOVED` and `ASK` when it may follow none.
fn is_redirection(error: &Error) -> bool {
    error.kind() == &ErrorKind::Routing && error.details() == "Too many redirections."
}

/// Whether it begins with an error code of the protocol, such as `ERR` or `WRONGTYPE`.
fn has_code(details: &str) -> bool {
    let code = details.split(' ').next().unwrap_or_default();
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    code.len() >= 2 && code.bytes().all(letter)
}

/// The error's words, without the arguments that some servers repeat in them, and not too many.
fn text_of(error: &Error) -> String {
    let details = error.details();
    if details == "Failed to connect to all sentinel nodes." {
        // fred does not tell why.
        return "no sentinel lets us in: down, or they refuse REDIS_SENTINEL_PASSWORD".to_owned();
    }
    let details = details.split(", with args beginning with").next().unwrap_or(details);
    // Of an operating system's error fred tells how Rust writes it down: the words are enough.
    let words = details.split_once("message: \"").and_then(|(_, rest)| rest.split_once('"'));
    let details = words.map_or(details, |(words, _)| words);
    let text = if has_code(details) {
        details.to_owned()
    } else {
        format!("{}: {details}", error.kind().to_str())
    };
    legible(&text)
}

/// Not too much of it, and nothing that a terminal would take for an order.
fn legible(text: &str) -> String {
    let mark = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    text.chars().take(LONGEST).map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(kind: ErrorKind, details: &'static str) -> ErrorClass {
        Failure::from(Error::new(kind, details)).error().class()
    }

    #[test]
    fn classes() {
        use ErrorClass::{NotSent, Refused, Unknown};
        let table = [
            (ErrorKind::Canceled, "Connection closed unexpectedly.", NotSent),
            (ErrorKind::Unknown, "Failed to send command to router.", NotSent),
            // The same texts of another kind, and the same kinds with another text.
            (ErrorKind::IO, "Connection closed unexpectedly.", Unknown),
            (ErrorKind::Canceled, "Canceled.", Unknown),
            (ErrorKind::Canceled, "Empty error.", Unknown),
            (ErrorKind::Unknown, "Client is not initialized.", Unknown),
            (ErrorKind::Unknown, "Too many failed write attempts.", Unknown),
            (ErrorKind::Unknown, "Failed to route command.", NotSent),
            (ErrorKind::Routing, "Failed to route command.", Unknown),
            // fred's words of TLS, and a server that likes them.
            (ErrorKind::Unknown, "ERR AlertReceived(CertificateRequired)", Refused),
            (ErrorKind::Protocol, "InvalidCertificate(UnknownIssuer)", Unknown),
            (ErrorKind::Unknown, "channel closed", Unknown),
            (ErrorKind::Routing, "Too many redirections.", Refused),
            (ErrorKind::Unknown, "Too many redirections.", Unknown),
            (ErrorKind::Timeout, "Request timed out.", Unknown),
            (ErrorKind::IO, "Connection closed.", Unknown),
            (ErrorKind::IO, "Os { code: 104, kind: ConnectionReset }", Unknown),
            (ErrorKind::Protocol, "Invalid response frame type.", Unknown),
            (ErrorKind::Tls, "InvalidCertificate(UnknownIssuer)", NotSent),
            (ErrorKind::IO, "AlertReceived(CertificateRequired)", NotSent),
            (ErrorKind::IO, "AlertReceived(InternalError)", Unknown),
            (ErrorKind::Cluster, "CLUSTERDOWN Hash slot not served", Unknown),
            (
                ErrorKind::Unknown,
                "OOM command not allowed when used memory > 'maxmemory'.",
                Refused,
            ),
            (ErrorKind::Unknown, "READONLY You can't write against a read only replica.", Refused),
            (ErrorKind::Unknown, "NOPERM this user has no permissions to run 'get'", Refused),
            (ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory", Refused),
            (ErrorKind::Auth, "NOAUTH Authentication required.", Unknown),
            (ErrorKind::Auth, "WRONGPASS invalid username-password pair", Unknown),
            (ErrorKind::InvalidArgument, "WRONGTYPE Operation against a key", Refused),
            (ErrorKind::Unknown, "CROSSSLOT Keys in request don't hash to the same slot", Refused),
            (ErrorKind::Cluster, "MOVED 3999 127.0.0.1:6381", Refused),
            (ErrorKind::Cluster, "ASK 3999 127.0.0.1:6381", Refused),
            (ErrorKind::Unknown, "BUSY Redis is busy running a script.", Refused),
            (ErrorKind::Unknown, "NOSCRIPT No matching script.", Refused),
            (ErrorKind::Unknown, "ERR value is not an integer or out of range", Refused),
            (ErrorKind::Config, "ERR This instance has cluster support disabled", Refused),
        ];
        for (kind, details, expected) in table {
            assert_eq!(class(kind.clone(), details), expected, "{kind:?} {details}");
        }
    }

    #[test]
    fn the_server_answering_speaks_for_the_connection() {
        let trips = |kind, text| Failure::from(Error::new(kind, text)).trips();
        assert!(trips(ErrorKind::Timeout, "Request timed out."));
        assert!(trips(ErrorKind::IO, "Connection closed."));
        assert!(trips(ErrorKind::Canceled, "Connection closed unexpectedly."));
        assert!(trips(ErrorKind::Auth, "NOAUTH Authentication required."));
        assert!(!trips(ErrorKind::Unknown, "OOM command not allowed"));
        assert!(!trips(ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory"));
        assert!(!Failure::late().trips());
    }

    #[test]
    fn only_lasting_refusals_last() {
        let lasting = |kind, text| Failure::from(Error::new(kind, text)).is_lasting();
        assert!(lasting(ErrorKind::Auth, "WRONGPASS invalid username-password pair"));
        assert!(lasting(ErrorKind::Unknown, "NOPERM no permissions to run the 'ping' command"));
        assert!(lasting(ErrorKind::Unknown, "ERR DB index is out of range"));
        assert!(!lasting(ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory"));
        assert!(!lasting(ErrorKind::Unknown, "ERR max number of clients reached"));
        assert!(!lasting(ErrorKind::IO, "ERR never mind"));
    }

    #[test]
    fn a_wrong_password_refuses_the_connection_and_leaves_its_commands_unknown() {
        let wrong = || Error::new(ErrorKind::Auth, "WRONGPASS invalid username-password pair");
        let (connection, command) =
            (Failure::from(wrong()).of_connection(), Failure::from(wrong()));
        assert_eq!(connection.error().class(), ErrorClass::Refused);
        assert_eq!(command.error().class(), ErrorClass::Unknown);
        assert!(connection.is_lasting() && command.is_lasting());
        let lost = Failure::from(Error::new(ErrorKind::IO, "Connection closed."));
        assert_eq!(lost.of_connection().error().class(), ErrorClass::Unknown);
    }

    #[test]
    fn texts_are_short_and_repeat_no_arguments() {
        let text = |text: String| text_of(&Error::new(ErrorKind::Unknown, text));
        let unknown = "ERR unknown command 'FOO', with args beginning with: 'session:acme:42' ";
        assert_eq!(text(unknown.to_owned()), "ERR unknown command 'FOO'");
        assert_eq!(text(format!("ERR {}", "x".repeat(1000))).chars().count(), LONGEST);
        let refused = r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#;
        let refused = Error::new(ErrorKind::IO, refused);
        assert_eq!(text_of(&refused), "IO Error: Connection refused");
        assert_eq!(text("ERR \u{1b}[2J\r\nWARN".to_owned()), "ERR \u{fffd}[2J\u{fffd}\u{fffd}WARN");
        let named = format!("InvalidCertificate({}\u{1b})", "x".repeat(1000));
        let told = Failure::from(Error::new(ErrorKind::Tls, named));
        assert_eq!(told.error().message().chars().count(), LONGEST);
        let timeout = Error::new(ErrorKind::Timeout, "Request timed out.");
        assert_eq!(text_of(&timeout), "Timeout Error: Request timed out.");
    }
}
