//! What people choose about their rooms.

use super::answer::Answer;
use super::words::Wish;
use super::{No, Question};
use crate::choices::{CHOICES, Choice};
use crate::shared::Shared;

impl Shared {
    /// `set` lists what can be chosen, `set <option>` its values, `set <option> <value>` chooses.
    pub(super) async fn set(&self, question: &Question, wish: &Wish) -> Result<Answer, No> {
        let sender = &question.addressed.sender;
        let chosen = self.choices_of(sender).await?;
        let mut words = wish.words();
        let (name, value) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let choice = CHOICES.iter().find(|choice| choice.name == name);
        match (name, choice, value) {
            ("", ..) => {
                let mut answer = Answer::of("You can choose:");
                for choice in CHOICES {
                    let now = chosen.value(self, choice.name);
                    answer =
                        described(answer.item().code(&format!("set {} {now}", choice.name)), choice, &now);
                }
                Ok(answer.line().text("Say ").code("set <option>").text(" for the other values."))
            }
            (_, None, _) => {
                let answer = Answer::of("There is no option ").strong(name).text("; say ").code("set");
                Err(No::Because(answer.text(" for those there are.")))
            }
            (_, Some(choice), "") => Ok(values(choice, &chosen.value(self, name))),
            (_, Some(choice), value) => match chosen.with(name, value) {
                Some(new) => {
                    self.memory.choices.put(&self.memory, sender, new).await?;
                    Ok(described(Answer::of("From now on"), choice, value).text("."))
                }
                None => Err(No::Because(values(choice, &chosen.value(self, name)))),
            },
        }
    }
}

/// What a value means.
fn described(answer: Answer, choice: &Choice, value: &str) -> Answer {
    let about = choice.values.iter().find(|(known, _)| *known == value).map_or("", |(_, about)| about);
    answer.text(&format!(": {about}"))
}

fn values(choice: &Choice, now: &str) -> Answer {
    let mut answer = Answer::of("For ").strong(choice.name).text(" you can say:");
    for (value, _) in choice.values {
        let mark = if *value == now { " (now)" } else { "" };
        let typed = answer.item().code(&format!("set {} {value}", choice.name));
        answer = described(typed, choice, value).text(mark);
    }
    answer
}
