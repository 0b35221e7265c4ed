// SPDX-License-Identifier: GPL-2.0-only
//! `nfexp report`: a study's answer as one page with pictures.

use std::path::{Path, PathBuf};

use clap::Args;
use toml::{Table, Value};

use super::sweep::{Asked, jobs, progress, settled};
use crate::command::output::{could_be_written, is_another, quoted, write_beside};
use crate::command::{Failure, remark};
use crate::opened::is_file;
use crate::report::text::counted;
use crate::research::document::read_text;
use crate::research::measure::Recording;
use crate::research::picture::page;
use crate::research::sweep::study::{Study, shipped};
use crate::research::sweep::{shard, summary};

/// The arguments of `nfexp report`.
#[derive(Debug, Args)]
pub struct Report {
    #[command(flatten)]
    asked: Asked,
    /// The page, `-` for standard output; folders that are not there are made.
    #[arg(long, short, default_value = "report.html")]
    out: PathBuf,
    /// A folder for the charts as SVG files; made if it is not there.
    #[arg(long)]
    charts: Option<PathBuf>,
    /// How many threads; 0 is one a core. The page is the same for any.
    #[arg(long, default_value_t = 0, value_parser = jobs)]
    jobs: usize,
}

impl Report {
    /// Runs the study and writes the page.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(&self) -> Result<(), Failure> {
        let plan = self.asked.plan("mixed-isp-nat", true)?;
        // Before the study is run, which may take hours.
        could_be_written(&self.out)?;
        for read in read(self.asked.study.as_deref(), &plan.study) {
            is_another(&self.out, &read)?;
        }
        if let Some(folder) = &self.charts {
            could_be_written(&folder.join("chart.svg"))?;
        }
        remark(format_args!(
            "seed {}, plan {}, {}",
            plan.study.seed,
            plan.hash,
            counted(plan.blocks.len() as u64, "block")
        ));
        let bar = progress(plan.blocks.len() as u64);
        let tick = |done: u64, _: u64| bar.set_position(done);
        let rows = shard::run_in_memory(&plan, self.jobs, &tick);
        bar.finish_and_clear();
        let stopped = |why| self.asked.stopped(why);
        let lines = summary::lines(&plan, &rows.map_err(stopped)?);
        let recording = Recording { lifelines: 60, walks: false };
        // Of the varied points the middle one shows most: the first is often at rest.
        let replications = plan.study.replications as usize;
        let middle = plan.blocks.len() / replications / 2 * replications;
        let details = plan.detail(&plan.blocks[middle], recording).map_err(stopped)?;
        let varied = &plan.points[plan.blocks[middle].point].varied;
        let pictures = page::pictures(&plan, &lines, &details, varied);
        let html = page::page(&plan, &lines, &pictures, &self.command());
        write_beside(&self.out, &html)?;
        if let Some(folder) = &self.charts {
            for picture in &pictures {
                write_beside(&folder.join(format!("{}.svg", picture.name)), &picture.svg)?;
            }
        }
        remark(format_args!("{} with {} pictures", self.out.display(), pictures.len()));
        settled(&lines)
    }

    /// What was typed, without what does not change the page.
    fn command(&self) -> String {
        let words = std::env::args_os().skip(1);
        typed(words.map(|word| word.to_string_lossy().into_owned()))
    }
}

/// The files that are read for a study: its own, its scenario's, and those that one names.
fn read(path: Option<&Path>, study: &Study) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = path.map(Path::to_owned).into_iter().collect();
    if shipped(&study.scenario).is_some() {
        return files;
    }
    let scenario = study.file(path.and_then(Path::parent));
    // A recording names none, and what is no file has given its bytes.
    let text = is_file(&scenario).then(|| read_text(&scenario, "a scenario").ok()).flatten();
    let table: Table = text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let recordings = table.get("recording").and_then(Value::as_array).into_iter().flatten();
    let named = table.get("fits").into_iter().chain(recordings.filter_map(|item| item.get("file")));
    let folder = scenario.parent().unwrap_or_else(|| Path::new(""));
    files.extend(named.filter_map(Value::as_str).map(|name| folder.join(name)));
    files.push(scenario);
    files
}

fn typed(all: impl Iterator<Item = String>) -> String {
    const ELSEWHERE: [&str; 4] = ["--jobs", "--out", "--charts", "-o"];
    let mut words = vec!["nfexp".to_owned()];
    let mut skip = false;
    for word in all {
        let alone = ELSEWHERE.contains(&word.as_str());
        let name = word.split('=').next().unwrap_or_default();
        // A short one's value may stand right behind it.
        let joined = ELSEWHERE[..3].contains(&name) || word.starts_with("-o");
        if !(skip || alone || joined) {
            words.push(quoted(&word).into_owned());
        }
        skip = alone && !skip;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::typed;

    #[test]
    fn where_a_page_goes_is_no_part_of_it() {
        for elsewhere in [
            "--out a.html --charts b --jobs 2",
            "--out=a.html --charts=b --jobs=2",
            "-o a.html",
            "-oa.html",
            "-o=a.html",
            "--out --out --charts -o",
        ] {
            let words = format!("report study.toml {elsewhere} --seed 7");
            let told = typed(words.split(' ').map(str::to_owned));
            assert_eq!(told, "nfexp report study.toml --seed 7", "{elsewhere}");
        }
    }

    #[test]
    fn a_shell_reads_what_was_typed() {
        let words = ["report", "--policy", "table=min(remaining / 2)", "it's", ""];
        let told = typed(words.into_iter().map(str::to_owned));
        assert_eq!(told, r"nfexp report --policy 'table=min(remaining / 2)' 'it'\''s' ''");
    }
}
