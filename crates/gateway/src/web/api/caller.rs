//! Who asks.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts as Head;
use axum::http::{StatusCode, header};
use wxgate_contract::{Control, UserName};
use wxgate_store::Opens;

use super::Refusal;
use crate::wiring::Parts;

/// An extension of every request that came over the socket in the data directory, and of no other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operator;

/// Who asks.
#[derive(Clone)]
pub(in crate::web) enum Caller {
    /// Whoever can open the socket: the user of the gateway, or root.
    Operator,
    /// Somebody with a token.
    Person {
        /// Whose it is.
        user: UserName,
        /// They manage people, and see everybody's accounts, but no chats; and they came with a token that
        /// opens this.
        is_admin: bool,
        /// With which they came.
        token: String,
        /// What it opens.
        opens: Opens,
        /// Where they ask, for the audit trail.
        door: &'static str,
    },
}

impl Caller {
    /// As whom the desk is asked; the operator is nobody in particular and may do everything.
    pub(in crate::web) fn user(&self) -> Option<UserName> {
        match self {
            Self::Operator => None,
            Self::Person { user, .. } => Some(user.clone()),
        }
    }

    /// Where their commands go.
    pub(in crate::web) fn desk(&self, parts: &Parts) -> Arc<dyn Control> {
        parts.bridge.control(self.door(), self.user())
    }

    /// Writes into the audit trail what they did.
    pub(in crate::web) async fn record(&self, parts: &Parts, what: &str, about: impl ToString) {
        parts.bridge.record(self.user(), self.door(), what, about.to_string()).await;
    }

    /// Where they ask, for the audit trail.
    pub(in crate::web) fn door(&self) -> &'static str {
        match self {
            Self::Operator => "commands",
            Self::Person { door, .. } => door,
        }
    }

    /// # Errors
    /// The token that they came with does not open this.
    pub(super) fn opens(&self, wanted: Opens) -> Result<(), Refusal> {
        match self {
            Self::Person { opens, .. } if !opens.includes(wanted) => Err(Refusal(
                StatusCode::FORBIDDEN,
                format!("this token opens only: {opens}; this needs: {wanted}"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether what they came with still opens anything.
    pub(super) async fn is_welcome(&self, parts: &Parts) -> bool {
        match self {
            Self::Operator => true,
            Self::Person { user, token, .. } => {
                let whose = parts.bridge.store().verify_token(token).await;
                whose.is_ok_and(|whose| whose.is_some_and(|(whose, _)| whose == *user))
            }
        }
    }

    /// # Errors
    /// They do not manage people.
    pub(in crate::web) fn administers(&self) -> Result<(), Refusal> {
        match self {
            Self::Operator | Self::Person { is_admin: true, .. } => Ok(()),
            Self::Person { .. } => {
                let why = "this is for administrators, with a token that opens admin";
                Err(Refusal(StatusCode::FORBIDDEN, why.to_owned()))
            }
        }
    }

    /// # Errors
    /// They are somebody else, administrators too: nobody speaks for another.
    pub(super) fn is(&self, name: &str) -> Result<(), Refusal> {
        match self {
            Self::Operator => Ok(()),
            Self::Person { user, .. } if user.as_str() == name => Ok(()),
            Self::Person { user, .. } => Err(Refusal(
                StatusCode::FORBIDDEN,
                format!("this is for {name} to do, and the token is one of {user}"),
            )),
        }
    }

    /// Whether they may look into what this person has.
    pub(in crate::web) fn owns(&self, owner: &UserName) -> bool {
        match self {
            Self::Operator => true,
            Self::Person { user, .. } => user == owner,
        }
    }

    /// Whether they may know how this person's accounts are doing.
    pub(super) fn sees(&self, owner: &UserName) -> bool {
        matches!(self, Self::Person { is_admin: true, .. }) || self.owns(owner)
    }
}

impl FromRequestParts<Arc<Parts>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(head: &mut Head, parts: &Arc<Parts>) -> Result<Self, Refusal> {
        if head.extensions.get::<Operator>().is_some() {
            return Ok(Self::Operator);
        }
        let refused = || {
            let message = "say who you are: Authorization: Bearer TOKEN, made by: wxgate user token NAME";
            Refusal(StatusCode::UNAUTHORIZED, message.to_owned())
        };
        let line = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // Source: RFC 9110, 11.1: the scheme is read without regard to case.
        let (scheme, token) = line.and_then(|line| line.split_once(' ')).ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let store = parts.bridge.store();
        let (user, opens) = store.verify_token(token.trim()).await?.ok_or_else(refused)?;
        let row = store.user(&user).await?.ok_or_else(refused)?;
        let is_admin = row.is_admin && opens.includes(Opens::ADMIN);
        let token = token.trim().to_owned();
        let caller = Self::Person { user, is_admin, token, opens, door: "api" };
        // Source: RFC 9110, 9.2.1: only safe methods change nothing.
        caller.opens(if head.method.is_safe() { Opens::READ } else { Opens::WRITE })?;
        Ok(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_do_something_is_not_told_of_a_wrong_password() {
        let caller = |is_admin| Caller::Person {
            user: "ann".into(),
            is_admin,
            token: String::new(),
            opens: Opens::ALL,
            door: "api",
        };
        let told =
            |refused: Result<(), Refusal>| refused.map_err(|Refusal(status, why)| (status.as_u16(), why));
        let admins = "this is for administrators, with a token that opens admin";
        assert_eq!(told(caller(false).administers()), Err((403, admins.to_owned())));
        assert_eq!(told(caller(true).administers()), Ok(()));
        let theirs = "this is for bob to do, and the token is one of ann";
        assert_eq!(told(caller(true).is("bob")), Err((403, theirs.to_owned())));
        assert_eq!(told(caller(false).is("ann")), Ok(()));
    }
}
