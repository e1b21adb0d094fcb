//! What is to be done with a session once its request is answered. Pure.

use tower_keep_core::UserId;

use crate::state::{Intent, Loaded, State};

/// What the store is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) step: Step,
    /// The session that the client has ends: before the step where it was logged out, else after.
    pub(crate) removes: bool,
}

/// What is to be done beside ending the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    None,
    /// To say that it is used.
    Touch,
    /// To change what it holds.
    Write,
    /// To give it another id where it is.
    Rotate {
        /// Whether its absolute limit begins anew.
        login: bool,
    },
    /// To make a session.
    Create {
        /// Whose.
        user: Option<UserId>,
        /// Whether what the old one holds goes along.
        carries: bool,
    },
}

/// What is to be done. `changes` says that what was changed makes a difference to what is there,
/// `touch` that the session is due to be touched.
pub(crate) fn plan(state: &State, changes: bool, touch: bool) -> Plan {
    let plan = |step, removes| Plan { step, removes };
    let intent = &state.intent;
    // The session that the client has, as far as anybody knows.
    let old = state.token.as_ref().filter(|_| state.loaded != Loaded::Absent);
    let makes = !state.change.set.is_empty() || intent.exists;
    let create = |user, carries| Step::Create { user, carries };
    match (&intent.user, old) {
        (Some(user), Some(old)) if !intent.ends && old.user.as_ref() == Some(user) => {
            plan(Step::Rotate { login: true }, false)
        }
        (Some(user), old) => {
            // What another user's session holds is theirs.
            let carries = !intent.ends && old.is_some_and(|old| old.user.is_none());
            plan(create(Some(user.clone()), carries), old.is_some())
        }
        (None, Some(_)) if intent.ends => {
            plan(if makes { create(None, false) } else { Step::None }, true)
        }
        (None, Some(old)) if intent.renews && old.user.is_some() => {
            plan(Step::Rotate { login: false }, false)
        }
        // Without a user it lies under a key of its own, which goes by its id.
        (None, Some(_)) if intent.renews => plan(create(None, true), true),
        (None, Some(_)) if changes || writes(intent) => plan(Step::Write, false),
        (None, Some(_)) => plan(if touch { Step::Touch } else { Step::None }, false),
        (None, None) => plan(if makes { create(None, false) } else { Step::None }, false),
    }
}

/// Whether something other than its values is to be changed where it is.
const fn writes(intent: &Intent) -> bool {
    intent.idle.is_some() || intent.remember.is_some()
}

/// What holds of answers that say the service has failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaveOn {
    /// What a request changed is kept unless its answer is a server error (5xx, or for gRPC a
    /// trailers-only answer with an error of the server's). A login, rotation or logout is carried
    /// out all the same, whole: with all that was changed. Where a
    /// [`commit`](crate::Session::commit) of it has failed, such an answer tells of that, and of the
    /// three only the logout is tried again.
    #[default]
    Success,
    /// What a request changed is kept whatever it is answered.
    Always,
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use tower_keep_core::time::UnixMillis;

    use super::*;
    use crate::{
        id::{Origin, SessionId},
        record::{Header, Record},
        store::Change,
        token::Token,
    };

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn token(of: Option<&str>) -> Token {
        Token {
            id: SessionId::from_bytes([1; 16]),
            origin: Origin([2; 16]),
            user: of.map(user),
            touched: UnixMillis(0),
            idle: Duration::from_secs(60),
            transient: false,
        }
    }

    fn here() -> Loaded {
        let header = Header {
            version: 1,
            created: UnixMillis(0),
            expires: UnixMillis(1),
            seen: UnixMillis(0),
            idle_ms: 60_000,
            origin: Origin([2; 16]),
        };
        Loaded::Here(Arc::new(Record { header, data: BTreeMap::new() }))
    }

    fn set() -> Change {
        Change { set: BTreeMap::from([("a".into(), "1".into())]), ..Change::default() }
    }

    #[expect(clippy::option_option, reason = "no token, one of a visitor, one of a user")]
    fn decide(of: Option<Option<&str>>, loaded: Loaded, change: Change, intent: Intent) -> Plan {
        let token = of.map(token);
        let changes = !change.is_empty();
        plan(&State { token, loaded, change, intent, ..State::default() }, changes, false)
    }

    const NOTHING: Plan = Plan { step: Step::None, removes: false };

    fn create(of: Option<&str>, carries: bool, removes: bool) -> Plan {
        Plan { step: Step::Create { user: of.map(user), carries }, removes }
    }

    #[test]
    fn what_was_not_touched_costs_nothing() {
        for of in [None, Some(None), Some(Some("u"))] {
            for loaded in [Loaded::Unknown, Loaded::Absent, here()] {
                let plan = decide(of, loaded, Change::default(), Intent::default());
                assert_eq!(plan, NOTHING);
            }
        }
    }

    #[test]
    fn values_are_written_where_the_session_is_and_make_one_where_there_is_none() {
        let intent = Intent::default;
        for of in [None, Some("u")] {
            for loaded in [Loaded::Unknown, here()] {
                let plan = decide(Some(of), loaded, set(), intent());
                assert_eq!(plan, Plan { step: Step::Write, removes: false });
            }
            // The old id is never taken up again, nor the user without a login.
            assert_eq!(
                decide(Some(of), Loaded::Absent, set(), intent()),
                create(None, false, false)
            );
        }
        assert_eq!(decide(None, Loaded::Absent, set(), intent()), create(None, false, false));
        let removed = Change { removed: ["a".into()].into(), ..Change::default() };
        assert_eq!(decide(None, Loaded::Absent, removed, intent()), NOTHING);
        let exists = Intent { exists: true, ..intent() };
        let none = Change::default();
        assert_eq!(decide(None, Loaded::Absent, none, exists), create(None, false, false));
    }

    #[test]
    fn a_login_carries_what_nobody_has_and_leaves_what_another_user_has() {
        let login = || Intent { user: Some(user("u")), renews: true, ..Intent::default() };
        let none = Change::default;
        assert_eq!(decide(None, Loaded::Absent, none(), login()), create(Some("u"), false, false));
        for loaded in [Loaded::Unknown, here()] {
            let by = |of| decide(Some(of), loaded.clone(), none(), login());
            assert_eq!(by(None), create(Some("u"), true, true));
            assert_eq!(by(Some("v")), create(Some("u"), false, true));
            assert_eq!(by(Some("u")).step, Step::Rotate { login: true });
        }
        let absent = decide(Some(None), Loaded::Absent, none(), login());
        assert_eq!(absent, create(Some("u"), false, false));
        let after_logout = Intent { ends: true, ..login() };
        let plan = decide(Some(None), here(), none(), after_logout.clone());
        assert_eq!(plan, create(Some("u"), false, true));
        let plan = decide(Some(Some("u")), here(), none(), after_logout);
        assert_eq!(plan, create(Some("u"), false, true), "a session that was ended is not renamed");
    }

    #[test]
    fn a_rotation_renames_a_users_session_and_moves_one_without() {
        let rotate = || Intent { renews: true, ..Intent::default() };
        let by = |of| decide(Some(of), Loaded::Unknown, Change::default(), rotate());
        assert_eq!(by(Some("u")), Plan { step: Step::Rotate { login: false }, removes: false });
        assert_eq!(by(None), create(None, true, true));
        assert_eq!(decide(None, Loaded::Absent, Change::default(), rotate()), NOTHING);
    }

    #[test]
    fn a_logout_ends_it_and_what_is_set_afterwards_is_a_new_one() {
        let logout = || Intent { ends: true, ..Intent::default() };
        let old = Some(Some("u"));
        let plan = decide(old, Loaded::Unknown, Change::default(), logout());
        assert_eq!(plan, Plan { step: Step::None, removes: true });
        assert_eq!(decide(old, here(), set(), logout()), create(None, false, true));
        assert_eq!(decide(old, Loaded::Absent, Change::default(), logout()), NOTHING);
    }

    #[test]
    fn a_touch_is_for_what_is_there_and_gives_way_to_a_write() {
        let due = |of: Option<Option<&str>>, loaded, change: Change| {
            let token = of.map(token);
            let changes = !change.is_empty();
            plan(&State { token, loaded, change, ..State::default() }, changes, true).step
        };
        assert_eq!(due(Some(None), here(), Change::default()), Step::Touch);
        assert_eq!(due(Some(None), Loaded::Absent, Change::default()), Step::None);
        assert_eq!(due(Some(None), here(), set()), Step::Write);
        assert_eq!(due(None, Loaded::Absent, Change::default()), Step::None);
    }
}
