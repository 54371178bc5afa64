//! Small plots of the last day, as pictures within the page: no script, nothing fetched.

use maud::{Markup, html};

use super::words::{Words, fill};
use crate::history::{Day, Point};

/// Width and height of the drawing, in its own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 48.0;

/// Messages of one person's accounts over the last day.
pub(super) fn messages(values: &[f64], words: &Words) -> Markup {
    html! {
        @if values.len() < 2 { p.soft { (words.no_plots) } } @else {
            (plot(words.messages_per_hour, "", values, words))
        }
    }
}

fn plot(title: &str, unit: &str, values: &[f64], words: &Words) -> Markup {
    let most = values.iter().copied().fold(0.0, f64::max);
    let now = shown(values.last().copied().unwrap_or_default());
    let now = if unit.is_empty() { now } else { format!("{now} {unit}") };
    let told = format!("{now}, {}", fill(words.at_most, shown(most)));
    html! {
        figure.plot {
            figcaption { (title) " " span.soft { (told) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={ (title) ": " (told) } preserveAspectRatio="none" {
                path d=(area(values, most)) {}
            }
        }
    }
}

/// Messages, commits and memory of the whole gateway over the last day.
pub(super) fn plots(day: &Day, words: &Words) -> Markup {
    let points = day.points();
    let plot = |title: &str, unit: &str, of: &dyn Fn(&Point) -> f64| {
        plot(title, unit, &points.iter().map(of).collect::<Vec<f64>>(), words)
    };
    html! {
        @if points.len() < 2 { p.soft { (words.no_plots) } } @else {
            div.sides {
                (plot(words.messages_per_hour, "", &|point| point.messages_per_hour))
                (plot(words.commit_time, "ms", &|point| point.commit_ms))
                (plot(words.memory_used, "MiB", &|point| point.memory_mib))
            }
        }
    }
}

/// A closed outline from the oldest value at the left to the newest at the right.
fn area(values: &[f64], most: f64) -> String {
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let scale = if most > 0.0 { HEIGHT / most } else { 0.0 };
    let mut path = format!("M0 {HEIGHT}");
    for (at, value) in values.iter().enumerate() {
        path.push_str(&format!("L{:.1} {:.1}", at as f64 * step, HEIGHT - value * scale));
    }
    path.push_str(&format!("L{:.1} {HEIGHT}Z", step * values.len().saturating_sub(1) as f64));
    path
}

/// With a digit behind the point while it says something.
fn shown(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_spans_the_drawing_and_its_highest_point_touches_the_top() {
        assert_eq!(area(&[0.0, 2.0, 1.0], 2.0), "M0 48L0.0 48.0L120.0 0.0L240.0 24.0L240.0 48Z");
        assert_eq!(area(&[0.0, 0.0], 0.0), "M0 48L0.0 48.0L240.0 48.0L240.0 48Z");
    }
}
