//! Users and their devices, profiles and account data.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Call, Endpoint, Nothing};

/// `POST /v3/register`: makes a user of the application service. `M_USER_IN_USE` means that it is
/// there already, `M_EXCLUSIVE` that the registration file does not reserve it for us.
pub(crate) struct Register<'a> {
    pub(crate) localpart: &'a str,
}

impl Endpoint for Register<'_> {
    const NAME: &'static str = "register";
    type Reply = Nothing;

    fn call(&self) -> Call {
        let body = json!({
            "type": "m.login.application_service",
            "username": self.localpart,
            "inhibit_login": true,
        });
        Call::post("/_matrix/client/v3/register", &[], &body)
    }
}

/// `PUT /v3/devices/{id}`: makes a device that transaction ids are remembered for. An application
/// service may make one so. Source: <https://spec.matrix.org/v1.17/application-service-api/#device-management>
pub(crate) struct PutDevice<'a> {
    pub(crate) device_id: &'a str,
}

impl Endpoint for PutDevice<'_> {
    const NAME: &'static str = "put device";
    type Reply = Nothing;

    fn call(&self) -> Call {
        Call::put("/_matrix/client/v3/devices", &[self.device_id], &json!({ "display_name": "wxgate" }))
    }
}

/// `GET /v3/account/whoami`.
pub(crate) struct WhoAmI;

#[derive(Debug, Deserialize)]
pub(crate) struct Me {
    pub(crate) user_id: String,
}

impl Endpoint for WhoAmI {
    const NAME: &'static str = "whoami";
    type Reply = Me;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/account/whoami", &[])
    }
}

/// `PUT /v3/profile/{user}/{field}`.
pub(crate) struct SetProfile<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) field: ProfileField<'a>,
}

pub(crate) enum ProfileField<'a> {
    DisplayName(&'a str),
    AvatarUrl(&'a str),
}

impl Endpoint for SetProfile<'_> {
    const NAME: &'static str = "set profile";
    type Reply = Nothing;

    fn call(&self) -> Call {
        let (field, value) = match self.field {
            ProfileField::DisplayName(name) => ("displayname", name),
            ProfileField::AvatarUrl(url) => ("avatar_url", url),
        };
        Call::put("/_matrix/client/v3/profile", &[self.user_id, field], &json!({ field: value }))
    }
}

/// `GET /v3/user/{user}/account_data/{type}`; `M_NOT_FOUND` when it was never set.
pub(crate) struct GetAccountData<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) kind: &'a str,
}

impl Endpoint for GetAccountData<'_> {
    const NAME: &'static str = "get account data";
    type Reply = Value;

    fn call(&self) -> Call {
        Call::get("/_matrix/client/v3/user", &[self.user_id, "account_data", self.kind])
    }
}

/// `PUT /v3/user/{user}/account_data/{type}`.
pub(crate) struct SetAccountData<'a, T: Serialize + Sync> {
    pub(crate) user_id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) content: &'a T,
}

impl<T: Serialize + Sync> Endpoint for SetAccountData<'_, T> {
    const NAME: &'static str = "set account data";
    type Reply = Nothing;

    fn call(&self) -> Call {
        Call::put("/_matrix/client/v3/user", &[self.user_id, "account_data", self.kind], self.content)
    }
}
