//! Several instances in a build without PostgreSQL: there is only this one.

use wxgate_bridge::AdapterFactory;
use wxgate_contract::{NetworkId, Stop, Timestamp};
use wxgate_store::Store;

use crate::config::Settings;
use crate::failure::Failure;

/// As `wxgate_instances::InstanceView`; there is none.
pub(crate) struct InstanceView {
    pub(crate) name: String,
    pub(crate) is_leader: bool,
    pub(crate) address: String,
    pub(crate) since: Timestamp,
    pub(crate) accounts: usize,
}

/// Never made.
pub(crate) enum Lead {}

/// A file has no other instances.
pub(super) async fn lead(_: &Settings, _: &Store) -> Result<Option<Lead>, Failure> {
    Ok(None)
}

impl Lead {
    pub(super) fn share(&self, _: AdapterFactory) -> AdapterFactory {
        match *self {}
    }

    pub(super) fn serve(&self) -> std::future::Pending<()> {
        match *self {}
    }

    pub(super) async fn end(&self, _: &Store) {
        match *self {}
    }

    pub(crate) async fn cut_off(&self) -> String {
        match *self {}
    }

    pub(crate) fn all(&self) -> Vec<InstanceView> {
        match *self {}
    }

    pub(crate) fn of(&self, _: &NetworkId) -> Option<String> {
        match *self {}
    }
}

/// Never made.
pub(super) enum Standby {}

impl Standby {
    /// A file that another process has is told as such before.
    pub(super) async fn new(_: &Settings, why: &str) -> Result<Self, Failure> {
        Err(Failure::environment(why.to_owned()))
    }

    pub(super) async fn work(&mut self, _: &Settings, _: &str, _: &Stop) -> Result<(), Failure> {
        match *self {}
    }

    pub(super) async fn end(self, _: &Settings) {
        match self {}
    }
}
