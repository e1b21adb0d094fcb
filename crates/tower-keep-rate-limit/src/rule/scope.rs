//! Whom a rule counts together.

/// Whom a rule counts together. The tenant is part of every scope; each further part makes the
/// groups smaller. [`Rule::by`](crate::Rule::by) adds one that is made of the request.
///
/// ```
/// use tower_keep_rate_limit::Scope;
///
/// let each_user_on_each_route = Scope::tenant().user().endpoint();
/// let each_address = Scope::tenant().address();
/// # let _ = (each_user_on_each_route, each_address);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub(crate) user: bool,
    pub(crate) endpoint: bool,
    pub(crate) address: bool,
}

impl Scope {
    /// The whole tenant.
    pub const fn tenant() -> Self {
        Self { user: false, endpoint: false, address: false }
    }

    /// Each user apart. A request without a user counts by its client address.
    #[must_use]
    pub const fn user(self) -> Self {
        Self { user: true, ..self }
    }

    /// Each endpoint (route template) apart. Requests that match no route count together.
    #[must_use]
    pub const fn endpoint(self) -> Self {
        Self { endpoint: true, ..self }
    }

    /// Each client address apart, whoever the user is: an IPv4 address, or an IPv6 /64 network.
    /// Cannot be combined with [`Scope::user`].
    #[must_use]
    pub const fn address(self) -> Self {
        Self { address: true, ..self }
    }
}
