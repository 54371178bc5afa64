//! The numbers, as a table and as JSON.

use std::fmt;

use serde_json::{Value, json};

/// Which way is better than the aim.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Told for comparison only.
    None,
}

#[derive(Debug)]
struct Row {
    section: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    aim: Aim,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    failures: Vec<(&'static str, String)>,
}

impl Row {
    fn verdict(&self) -> &'static str {
        match self.aim {
            Aim::AtMost(most) if self.value <= most => "pass",
            Aim::AtLeast(least) if self.value >= least => "pass",
            Aim::None => "",
            Aim::AtMost(_) | Aim::AtLeast(_) => "FAIL",
        }
    }

    fn aim(&self) -> String {
        match self.aim {
            Aim::AtMost(most) => format!("≤ {most}"),
            Aim::AtLeast(least) => format!("≥ {least}"),
            Aim::None => String::new(),
        }
    }
}

impl Report {
    pub(super) fn add(
        &mut self,
        section: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        aim: Aim,
    ) {
        let row = Row { section, what: what.into(), value, unit, aim };
        eprintln!("bench:   {}: {:.2} {} {}", row.what, row.value, row.unit, row.verdict());
        self.rows.push(row);
    }

    pub(super) fn fail(&mut self, section: &'static str, why: &str) {
        eprintln!("bench:   {section} could not be measured: {why}");
        self.failures.push((section, why.to_owned()));
    }

    /// Whether every section could be measured; aims that were missed are told, not judged here.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "section": row.section, "what": row.what, "value": row.value, "unit": row.unit,
                "aim": row.aim(), "verdict": row.verdict(),
            })
        });
        let failures = self.failures.iter().map(|(section, why)| json!({"section": section, "why": why}));
        json!({"rows": rows.collect::<Vec<_>>(), "failures": failures.collect::<Vec<_>>()})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        writeln!(f, "{:<11} {:<width$} {:>12} {:<11} {:>9}", "section", "what", "value", "unit", "aim")?;
        for row in &self.rows {
            let aim = row.aim();
            let verdict = row.verdict();
            writeln!(
                f,
                "{:<11} {:<width$} {:>12.2} {:<11} {aim:>9}  {verdict}",
                row.section, row.what, row.value, row.unit
            )?;
        }
        for (section, why) in &self.failures {
            writeln!(f, "{section:<11} NOT MEASURED: {why}")?;
        }
        Ok(())
    }
}
