//! Which events of people were seen to and left no post: what the bot was asked, who came and went,
//! what does not cross. A post is known to the store by its id; these are known by this alone, and
//! a catch-up must not carry a command out a second time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Ids of one generation. Chosen: at half of it the next position begins a new one, and is asked for.
const KEPT: usize = 512;

/// Two generations: those since the last catch-up began to count anew, and those before. What lies
/// behind the position is kept as well, as long as there is room: a homeserver that tries again with
/// growing pauses may hand over minutes later what was asked for meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Handled {
    young: VecDeque<String>,
    old: VecDeque<String>,
}

impl Handled {
    pub(super) fn knows(&self, event_id: &str) -> bool {
        self.young.iter().chain(&self.old).any(|known| known == event_id)
    }

    pub(super) fn add(&mut self, event_id: String) {
        if self.knows(&event_id) {
            return;
        }
        if self.young.len() >= KEPT {
            self.young.pop_front();
        }
        self.young.push_back(event_id);
    }

    /// True when a catch-up should move the position on before anything is forgotten.
    pub(super) fn is_filling(&self) -> bool {
        self.young.len() >= KEPT / 2
    }

    /// Everything up to a new position was handed over. What was seen to while that was going on
    /// may lie behind the position, hence the second generation.
    pub(super) fn pass(&mut self) {
        if self.is_filling() {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_until_two_full_generations_have_passed() {
        let mut handled = Handled::default();
        let fill = |handled: &mut Handled, mark: &str| {
            (0..KEPT / 2).for_each(|n| handled.add(format!("${mark}{n}")));
            handled.pass();
        };
        handled.add("$a".to_owned());
        (0..9).for_each(|_| handled.pass());
        fill(&mut handled, "b");
        assert!(handled.knows("$a"));
        fill(&mut handled, "c");
        assert!(!handled.knows("$a") && !handled.knows("$b0") && handled.knows("$c0"));
    }

    #[test]
    fn it_is_bounded_and_asks_to_pass_before_anything_is_forgotten() {
        let mut handled = Handled::default();
        (0..KEPT / 2).for_each(|n| handled.add(format!("${n}")));
        assert!(handled.is_filling() && handled.knows("$0"));
        (0..KEPT * 3).for_each(|n| handled.add(format!("${n}")));
        assert_eq!(handled.young.len(), KEPT);
    }
}
