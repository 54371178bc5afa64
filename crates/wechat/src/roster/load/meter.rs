//! Tells people how far the first reading of the contacts is.

use std::time::Duration;

use tokio::time::Instant;
use wxgate_contract::{FarEnd, Loading, LoadingPart, NetworkId};

/// Between two words of one part. Chosen: nobody reads faster, and it may cross a line to another instance.
const EVERY: Duration = Duration::from_millis(250);

/// One reading. That it is over is told when this is dropped, also where the reading was cut short.
pub(super) struct Meter<'a> {
    far: &'a dyn FarEnd,
    network: &'a NetworkId,
    /// A list that is read again is nobody's concern: everything works meanwhile.
    is_first: bool,
    told: Option<(LoadingPart, Instant)>,
}

impl<'a> Meter<'a> {
    pub(super) fn new(far: &'a dyn FarEnd, network: &'a NetworkId, is_first: bool) -> Self {
        Self { far, network, is_first, told: None }
    }

    /// So much of a part is done.
    pub(super) fn at(&mut self, part: LoadingPart, done: usize, of: Option<usize>) {
        let now = Instant::now();
        let is_too_soon = self
            .told
            .is_some_and(|(last, at)| last == part && now.duration_since(at) < EVERY && of != Some(done));
        if !self.is_first || is_too_soon {
            return;
        }
        self.told = Some((part, now));
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.far.loading(self.network, Some(Loading { part, done: number(done), of: of.map(number) }));
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if self.told.is_some() {
            self.far.loading(self.network, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use wxgate_contract::conformance::Double;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_told_so_often_as_somebody_can_look_and_that_it_is_over() {
        let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
        let mut meter = Meter::new(&double, &network, true);
        for done in 1..=1000 {
            meter.at(LoadingPart::Contacts, done, None);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        meter.at(LoadingPart::Groups, 1, Some(2));
        meter.at(LoadingPart::Groups, 2, Some(2));
        drop(meter);
        let told: Vec<Option<Loading>> = double.state().loading.iter().map(|(_, how)| *how).collect();
        let of = |part, done, of| Some(Loading { part, done, of });
        let contacts = [1, 251, 501, 751].map(|done| of(LoadingPart::Contacts, done, None));
        assert_eq!(told[..4], contacts);
        let groups = [1, 2].map(|done| of(LoadingPart::Groups, done, Some(2)));
        assert_eq!(told[4..], [groups[0], groups[1], None]);
    }

    #[tokio::test]
    async fn of_a_list_that_is_read_again_nothing_is_told() {
        let (double, network) = (Double::new(), NetworkId::from("wechat:a"));
        Meter::new(&double, &network, false).at(LoadingPart::Contacts, 1, None);
        assert!(double.state().loading.is_empty());
    }
}
