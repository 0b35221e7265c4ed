// SPDX-License-Identifier: GPL-2.0-only
//! What a scenario takes from other files: recordings, and laws fitted to some.
//!
//! ```toml
//! fits = "office.toml"              # made by `nfexp fit --format toml`
//! [[class]]
//! delay = { fitted = "ftp" }        # the table `ftp.delay` of that file
//! answered = { fitted = "ftp" }     # with `ftp.log-normal` goes `ftp.log-normal-answered`
//! ```
//!
//! The rule that matters: a fitted table comes with its numbers and its source, so that a result
//! shows both, and is another result when the file is another.

use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use super::document::{located, read_text};
use super::recorded::Recorded;

/// Puts the tables of the file named by `fits` where they are asked for.
pub(super) fn fits(table: &mut Table, folder: &Path) -> Result<(), String> {
    let Some(file) = table.remove("fits") else { return spread(table, "", None) };
    let file = file.as_str().ok_or("fits: expected the name of a file")?.to_owned();
    let path = folder.join(&file);
    let text = read_text(&path, "fitted laws in UTF-8");
    let text = text.map_err(|why| format!("fits: {file}: {why}"))?;
    let fitted: Table = text
        .parse()
        .map_err(|error: toml::de::Error| format!("fits: {file}: {}", located(&text, &error)))?;
    spread(table, "", Some((&file, &fitted)))
}

fn spread(table: &mut Table, under: &str, fits: Option<(&str, &Table)>) -> Result<(), String> {
    for (key, value) in table.iter_mut() {
        let path = if under.is_empty() { key.clone() } else { format!("{under}.{key}") };
        match value {
            Value::Table(inner) => match inner.get("fitted").cloned() {
                Some(name) => *inner = one(&path, key, &name, inner.len(), fits)?,
                None => spread(inner, &path, fits)?,
            },
            Value::Array(items) => {
                for item in items.iter_mut().filter_map(Value::as_table_mut) {
                    let name = item.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
                    spread(item, &format!("{path}.{name}"), fits)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The table of this name; `ftp` has its tables by key, `ftp.log-normal` names one.
fn one(
    path: &str,
    key: &str,
    name: &Value,
    keys: usize,
    fits: Option<(&str, &Table)>,
) -> Result<Table, String> {
    let name = name.as_str().ok_or_else(|| format!("{path}.fitted: expected a name"))?;
    if keys > 1 {
        return Err(format!("{path}: expected nothing beside `fitted`"));
    }
    let (file, fitted) =
        fits.ok_or_else(|| format!("{path}: expected `fits = \"FILE\"` at the top"))?;
    // A helper's name may have a dot of its own.
    let whole = fitted.contains_key(name).then_some((name, key));
    let (of, which) = whole.or_else(|| name.rsplit_once('.')).unwrap_or((name, key));
    let found = fitted.get(of).and_then(|of| of.get(which)).and_then(Value::as_table);
    found.cloned().ok_or_else(|| {
        let has: Vec<&str> = fitted.keys().map(String::as_str).collect();
        format!("{path}: {file} has no table `{of}.{which}`, only of {}", has.join(", "))
    })
}

/// Reads every recording once.
pub(super) fn recordings(
    table: &Table,
    folder: &Path,
) -> Result<Vec<(String, String, Arc<Recorded>)>, String> {
    let mut files: Vec<(String, String, Arc<Recorded>)> = Vec::new();
    let items = table.get("recording").and_then(Value::as_array);
    for item in items.into_iter().flatten() {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let (file, options) = (text("file"), text("options"));
        if file.is_empty() || files.iter().any(|known| (&known.0, &known.1) == (&file, &options)) {
            continue;
        }
        let recorded = Recorded::read_some(&folder.join(&file), &options)
            .map_err(|why| format!("recording.{}: {file}: {why}", text("name")))?;
        files.push((file, options, Arc::new(recorded)));
    }
    Ok(files)
}
