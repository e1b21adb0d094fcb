//! What `greeter.v1.Greeter` is told and says.
//!
//! A service of your own has this, and what `greeter.rs` holds, made from its `.proto` by
//! `tonic-prost-build`, which needs `protoc`; by hand it builds anywhere.

/// `rpc Greet (Name) returns (Greeting)`
pub(crate) const GREET: &str = "/greeter.v1.Greeter/Greet";
/// `rpc Part (Name) returns (Greeting)`
pub(crate) const PART: &str = "/greeter.v1.Greeter/Part";
/// Each is an endpoint of its own.
pub(crate) const METHODS: [&str; 2] = [GREET, PART];

/// `message Name { string name = 1; }`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Name {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `message Greeting { string text = 1; }`
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Greeting {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}
